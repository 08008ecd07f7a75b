//! One channel over all healthy endpoints of a target: each call goes to the less loaded of two.

use super::Target;
use http::{Request, Response};
use std::task::{Context, Poll};
use tonic::{body::Body, transport};
use tower::Service;

/// Takes the calls of generated clients. Cheap to clone.
#[derive(Clone)]
pub struct Channel(transport::Channel);

impl Channel {
    /// Over the endpoints of `target`, which it follows from here on. Call it inside the runtime.
    ///
    /// # Errors
    /// An address is none.
    pub fn open(_name: &'static str, target: &Target) -> Result<Self, transport::Error> {
        let Target::Static(addresses) = target else {
            return Ok(Self(transport::Channel::balance_list([].into_iter())));
        };
        let endpoints: Result<Vec<_>, _> = addresses
            .iter()
            .map(|address| transport::Endpoint::from_shared(format!("http://{address}")))
            .collect();
        Ok(Self(transport::Channel::balance_list(endpoints?.into_iter())))
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = transport::Error;
    type Future = transport::channel::ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}
