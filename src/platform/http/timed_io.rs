//! A connection that waits for the other end for a bounded time, where hyper and hyper-util would wait for
//! ever: for the first bytes, which tell HTTP/2 from HTTP/1, and for an answer to be taken. The time for
//! headers is hyper's own matter.

use super::activity::Activity;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// What HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The connection, and whether it is in the middle of something.
pub(super) struct TimedIo<I> {
    inner: I,
    time: Duration,
    /// How much of [`PREFACE`] was seen, and until when the rest may come; `None` once it is told apart.
    waiting: Option<(usize, Pin<Box<Sleep>>)>,
    /// Until when the other end may take more of an answer; `None` while it takes it.
    writing: Option<Pin<Box<Sleep>>>,
    activity: Activity,
}

impl<I> TimedIo<I> {
    pub fn new(inner: I, time: Duration) -> (Self, Activity) {
        let activity = Activity::begin();
        let waiting = Some((0, Box::pin(sleep(time))));
        (Self { inner, time, waiting, writing: None, activity: activity.clone() }, activity)
    }

    /// Ends a write that the other end does not take; a reader that is merely slow begins anew each time.
    fn wrote<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.activity.set_busy(false);
        }
        self.taken(cx, written)
    }

    /// The same for what was written before and is only now sent, as an encrypted answer.
    fn taken<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.writing = None;
            return written;
        }
        let time = self.time;
        let until = self.writing.get_or_insert_with(|| Box::pin(sleep(time)));
        if until.as_mut().poll(cx).is_ready() {
            Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
        } else {
            written
        }
    }

    /// Notes what was read; the wait is over at the first byte that is not the preface's, or at its end.
    fn saw(&mut self, bytes: &[u8]) {
        if let Some((seen, _)) = &mut self.waiting {
            let expected = PREFACE.get(*seen..).unwrap_or_default();
            *seen += bytes.len();
            let is_preface =
                !bytes.is_empty() && (expected.starts_with(bytes) || bytes.starts_with(expected));
            let is_whole = *seen >= PREFACE.len();
            if is_preface && is_whole {
                self.activity.is_http2();
            }
            if is_whole || !is_preface {
                self.waiting = None;
            }
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for TimedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        match read {
            Poll::Ready(Ok(())) => {
                self.activity.set_busy(true);
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

impl<I: AsyncWrite + Unpin> AsyncWrite for TimedIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.wrote(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.wrote(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.taken(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.taken(cx, shut)
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
        let (mut io, activity) = TimedIo::new(ours, TIME);
        caller.write_all(first).await.unwrap();
        let mut buf = vec![0; first.len()];
        io.read_exact(&mut buf).await.unwrap();
        let next = tokio::time::timeout(TIME * 2, io.read_u8()).await.ok()?;
        assert!(activity.is_busy());
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

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_given_up() {
        let (_caller, ours) = duplex(64);
        let (mut io, _) = TimedIo::new(ours, TIME);
        let error = io.write_all(&[0; 65]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
