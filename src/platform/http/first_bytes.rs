//! A connection whose first bytes are awaited for a bounded time: hyper-util reads them, to tell HTTP/2
//! from HTTP/1, without any limit, and hyper's own time-out begins only after that.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

/// What HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The connection, and whether it is in the middle of something.
pub(super) struct FirstBytes<I> {
    inner: I,
    /// How much of [`PREFACE`] was seen, and until when the rest may come; `None` once it is told apart.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
    busy: Busy,
}

/// Whether bytes came that were not answered, or none ever came: a time-out then is a slow caller's, while
/// the end of an idle connection is nothing to be told.
#[derive(Clone)]
pub(super) struct Busy(Arc<AtomicBool>);

impl Busy {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, busy: bool) {
        self.0.store(busy, Ordering::Relaxed);
    }
}

impl<I> FirstBytes<I> {
    pub fn new(inner: I, time: Duration) -> (Self, Busy) {
        let busy = Busy(Arc::new(AtomicBool::new(true)));
        let waiting = Some((0, Box::pin(tokio::time::sleep(time))));
        (Self { inner, waiting, busy: busy.clone() }, busy)
    }

    /// Notes what was read; the wait is over at the first byte that is not the preface's, or at its end.
    fn saw(&mut self, bytes: &[u8]) {
        if let Some((seen, _)) = &mut self.waiting {
            let expected = PREFACE.get(*seen..).unwrap_or_default();
            *seen += bytes.len();
            if bytes.is_empty() || *seen >= PREFACE.len() || !expected.starts_with(bytes) {
                self.waiting = None;
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for FirstBytes<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        match read {
            Poll::Ready(Ok(())) => {
                self.busy.set(true);
                self.saw(buf.filled().get(before..).unwrap_or_default());
            }
            Poll::Pending => {
                if let Some((_, sleep)) = &mut self.waiting
                    && sleep.as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
            }
            Poll::Ready(Err(_)) => {}
        }
        read
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for FirstBytes<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.busy.set(false);
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.busy.set(false);
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const TIME: Duration = Duration::from_millis(50);

    /// What reading comes to after `first` was sent and nothing else follows.
    async fn after(first: &[u8]) -> Option<io::ErrorKind> {
        let (mut caller, ours) = duplex(64);
        let (mut io, busy) = FirstBytes::new(ours, TIME);
        caller.write_all(first).await.unwrap();
        let mut buf = vec![0; first.len()];
        io.read_exact(&mut buf).await.unwrap();
        let next = tokio::time::timeout(TIME * 2, io.read_u8()).await.ok()?;
        assert!(busy.get());
        next.err().map(|error| error.kind())
    }

    #[tokio::test]
    async fn nothing_and_a_begun_preface_are_not_awaited_for_ever() {
        assert_eq!(after(b"").await, Some(io::ErrorKind::TimedOut));
        assert_eq!(after(b"P").await, Some(io::ErrorKind::TimedOut));
        assert_eq!(after(&PREFACE[..23]).await, Some(io::ErrorKind::TimedOut));
    }

    #[tokio::test]
    async fn once_the_protocol_is_known_the_wait_is_over() {
        assert_eq!(after(b"G").await, None);
        assert_eq!(after(b"PO").await, None);
        assert_eq!(after(PREFACE).await, None);
    }
}
