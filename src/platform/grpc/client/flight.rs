//! A call on its way: watched to the end of its answer, so that its endpoint's load learns how long it took
//! and whether it failed.

use super::{
    balance::{Chosen, Connected},
    error::ChannelError,
    load::{Flight, Outcome},
    roster::Roster,
};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tonic::{Code, Status, body::Body};
use tower::ServiceExt;

/// Sends a call to the endpoint that was chosen for it.
pub(super) async fn send(
    chosen: Chosen,
    request: Request<Body>,
    roster: &Roster,
) -> Result<Response<Body>, ChannelError> {
    let Chosen { endpoint, mut flight } = chosen;
    let answer = endpoint.channel.clone().oneshot(request).await.map_err(ChannelError::from_transport);
    match answer {
        Ok(answer) => {
            flight.answers();
            flight.set(outcome(answer.status(), answer.headers()));
            Ok(answer.map(|body| Body::new(Watched { body, flight })))
        }
        Err(error) => {
            flight.set(Outcome::Failed);
            suspect(&error, &endpoint, roster);
            Err(error)
        }
    }
}

/// What an error means for its endpoint.
fn suspect(error: &ChannelError, endpoint: &Connected, roster: &Roster) {
    if error.is_late() {
        return;
    }
    if error.is_unsent() { roster.is_unreachable(endpoint) } else { roster.is_suspect(endpoint) }
}

/// What the head of an answer tells: one without a message has its status there.
fn outcome(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if status != StatusCode::OK {
        return Outcome::Failed;
    }
    Status::from_header_map(headers).map_or(Outcome::Answered, |status| of(status.code()))
}

/// Whether a code tells of the endpoint's trouble, be it that it has too much to do; all others are answers.
fn of(code: Code) -> Outcome {
    use Code::{DataLoss, DeadlineExceeded, Internal, ResourceExhausted, Unavailable, Unknown};
    match code {
        Unavailable | DeadlineExceeded | ResourceExhausted | Internal | Unknown | DataLoss => Outcome::Failed,
        _ => Outcome::Answered,
    }
}

/// An answer's body, and the call that it ends with it.
struct Watched {
    body: Body,
    flight: Flight,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
                    self.flight.set(of(status.code()));
                }
            }
            Some(Err(_)) => self.flight.set(Outcome::Failed),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::grpc::client::{connect::Connector, error::Unanswered};

    #[tokio::test]
    async fn a_refused_connection_is_known_to_be_unsent_and_takes_the_endpoint_out_at_once() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let roster = Roster::new("test");
        let watched = roster.take_in(&[free.to_string()].into()).remove(0);
        let lazy = Connector::new(None, None).endpoint(&watched.address).unwrap().connect_lazy();
        roster.is_up(&watched.address, lazy);
        let chosen = roster.choose().unwrap();
        let error = send(chosen, Request::new(Body::empty()), &roster).await.unwrap_err();
        assert_eq!(error.what(), Unanswered::NotSent);
        assert!(roster.choose().is_none());
        watched.probe_now.notified().await;
    }

    #[test]
    fn business_errors_are_answers_and_overload_is_not() {
        assert!(
            [Code::Ok, Code::NotFound, Code::InvalidArgument]
                .iter()
                .all(|code| of(*code) == Outcome::Answered)
        );
        assert!([Code::Unavailable, Code::ResourceExhausted].iter().all(|code| of(*code) == Outcome::Failed));
        assert_eq!(outcome(StatusCode::BAD_GATEWAY, &HeaderMap::new()), Outcome::Failed);
        let unavailable =
            [("grpc-status", "14")].map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        assert_eq!(outcome(StatusCode::OK, &HeaderMap::from_iter(unavailable)), Outcome::Failed);
    }
}
