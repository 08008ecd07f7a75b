//! A wire between a program and its peer that keeps every byte sent to the peer.

use parking_lot::Mutex;
use std::{
    io::{Read, Write, copy},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

/// Forwards connections until it is dropped; connections to a peer that is gone are closed.
pub struct Tap {
    pub address: SocketAddr,
    kept: Arc<Kept>,
}

#[derive(Default)]
struct Kept {
    stopped: AtomicBool,
    /// One entry a connection, in the order in which they came.
    connections: Mutex<Vec<Vec<u8>>>,
}

impl Tap {
    /// Listens on a free port and forwards to `peer`.
    pub fn before(peer: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::<Kept>::default();
        let own = Arc::clone(&kept);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if own.stopped.load(SeqCst) {
                    return;
                }
                own.forward(stream, peer);
            }
        });
        Self { address, kept }
    }

    /// What each connection has sent so far.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        self.kept.connections.lock().clone()
    }

    /// All bytes, one connection after the other.
    pub fn bytes(&self) -> Vec<u8> {
        self.connections().concat()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.kept.stopped.store(true, SeqCst);
        // Wakes the thread that waits for connections.
        drop(TcpStream::connect(self.address));
    }
}

impl Kept {
    fn forward(self: &Arc<Self>, from: TcpStream, peer: SocketAddr) {
        let Ok(to) = TcpStream::connect(peer) else { return };
        let at = {
            let mut connections = self.connections.lock();
            connections.push(Vec::new());
            connections.len() - 1
        };
        let (mut back, mut answers) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        thread::spawn(move || {
            let _ = copy(&mut answers, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
        let kept = Arc::clone(self);
        thread::spawn(move || kept.pass(from, to, at));
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, at: usize) {
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // Kept first, so that whatever the peer answers to has been kept.
            self.connections.lock()[at].extend_from_slice(&buffer[..count]);
            if to.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    }
}
