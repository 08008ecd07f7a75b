//! A request body that knows whether anybody has begun to write it.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

/// The client asks a body for its data only once a connection stands and the head is on its way, so
/// the first question separates what surely was not sent from what may have been.
pub struct Watched {
    body: Full<Bytes>,
    written: Arc<AtomicBool>,
}

/// Tells whether the writing has begun, also after the request is gone.
pub struct Written(Arc<AtomicBool>);

impl Written {
    pub fn any(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Watched {
    pub fn new(body: Vec<u8>) -> (Self, Written) {
        let written = Arc::new(AtomicBool::new(false));
        (Self { body: Full::from(body), written: Arc::clone(&written) }, Written(written))
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.written.store(true, Ordering::Release);
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
