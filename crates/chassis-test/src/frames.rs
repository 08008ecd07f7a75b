//! HTTP/2 written frame by frame (RFC 9113), so that a caller can send what no library would.

use crate::raw::connect;
use parking_lot::Mutex;
use std::{
    io::{ErrorKind, Read, Result, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread::JoinHandle,
};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame as it was read.
#[derive(Clone, Debug)]
pub struct Frame {
    pub kind: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error of a RST_STREAM, or of a GOAWAY.
    pub fn error(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// A connection. A thread of its own acknowledges settings and pings and keeps all frames.
pub struct Http2 {
    stream: Arc<Mutex<TcpStream>>,
    /// Its frames, and how it ended.
    reading: JoinHandle<(Vec<Frame>, ErrorKind)>,
}

impl Http2 {
    pub fn open(address: SocketAddr) -> Self {
        Self::begin(address, &[], true)
    }

    /// Acknowledges nothing, so that only what is sent by hand is sent.
    pub fn mute(address: SocketAddr) -> Self {
        Self::begin(address, &[], false)
    }

    /// With these settings, each an identifier and a value.
    pub fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        Self::begin(address, settings, true)
    }

    fn begin(address: SocketAddr, settings: &[(u16, u32)], acknowledges: bool) -> Self {
        let mut reader = connect(address);
        let stream = Arc::new(Mutex::new(reader.try_clone().unwrap()));
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| id.to_be_bytes().into_iter().chain(value.to_be_bytes()))
            .collect();
        let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &payload)].concat();
        stream.lock().write_all(&begin).unwrap();
        let writer = Arc::clone(&stream);
        let reading = std::thread::spawn(move || {
            let mut frames = Vec::new();
            let ended = loop {
                let (flags, found) = match read(&mut reader) {
                    Ok(read) => read,
                    Err(error) => break error.kind(),
                };
                if acknowledges && matches!(found.kind, SETTINGS | PING) && flags & ACK == 0 {
                    let payload: &[u8] = if found.kind == PING { &found.payload } else { b"" };
                    // The end is noticed by reading.
                    let _ = writer.lock().write_all(&frame(found.kind, ACK, 0, payload));
                }
                frames.push(found);
            };
            (frames, ended)
        });
        Self { stream, reading }
    }

    /// Sends frames; an error once the server has closed.
    pub fn send(&self, frames: &[u8]) -> Result<()> {
        self.stream.lock().write_all(frames)
    }

    /// Sends them again and again until the server closes, at most so often; whether it closed.
    pub fn flood(&self, frames: &[u8], most: usize) -> bool {
        (0..most).any(|_| self.send(frames).is_err())
    }

    /// Waits until the server closes, and returns the frames that it sent.
    pub fn closed(self) -> Vec<Frame> {
        let (frames, ended) = self.reading.join().unwrap();
        let open = matches!(ended, ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!open, "the server does not close: {frames:?}");
        frames
    }
}

fn read(stream: &mut TcpStream) -> Result<(u8, Frame)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok((head[4], Frame { kind: head[3], payload }))
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The header block of a request: indexed GET or POST and http, then literals that are not indexed.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    let mut block = vec![if method == "POST" { 0x83 } else { 0x82 }, 0x86];
    block.extend([0x04, path.len() as u8]);
    block.extend(path.as_bytes());
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    if method == "POST" {
        block.extend(header("content-type", "application/json"));
    }
    block
}

/// A literal header that is not indexed; a value of up to 126 bytes has a length of one.
pub fn header(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0x00, name.len() as u8];
    field.extend(name.as_bytes());
    match value.len() {
        short @ 0..=126 => field.push(short as u8),
        long => {
            // An integer of seven bits and then as many as it takes (RFC 7541, section 5.1).
            field.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                field.push((rest % 128 + 128) as u8);
                rest /= 128;
            }
            field.push(rest as u8);
        }
    }
    field.extend(value.as_bytes());
    field
}

/// The frames of this kind.
pub fn of_kind(frames: &[Frame], kind: u8) -> Vec<&Frame> {
    frames.iter().filter(|frame| frame.kind == kind).collect()
}

/// The error that the connection ended with.
pub fn last_error(frames: &[Frame]) -> Option<u32> {
    of_kind(frames, GOAWAY).last().map(|frame| frame.error())
}
