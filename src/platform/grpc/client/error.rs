//! Why a channel has no answer, and whether the call can have reached anybody.

use std::{error::Error, fmt};
use tonic::{Code, ConnectError, Status, transport};

/// What became of a call that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// No endpoint is healthy, or none is known.
    NoEndpoint,
    /// It was not sent: there was no connection, or the other side was about to close it.
    NotSent,
    /// It was sent, or may have been.
    Sent,
}

/// A call without an answer. Its source is the status that generated clients make of it, and it is the
/// source of that status: see [`Self::of`].
#[derive(Clone, Debug)]
pub struct ChannelError {
    what: Unanswered,
    status: Status,
}

impl ChannelError {
    pub(super) fn no_endpoint() -> Self {
        Self { what: Unanswered::NoEndpoint, status: Status::unavailable("no healthy endpoint") }
    }

    /// Tells by the sources of a fault how far the call came.
    pub(super) fn from_transport(error: transport::Error) -> Self {
        let what = if comes_of(&error, was_not_sent) { Unanswered::NotSent } else { Unanswered::Sent };
        let late = comes_of(&error, <dyn Error>::is::<tonic::TimeoutExpired>);
        let status = match what {
            _ if late => Status::deadline_exceeded("the deadline has passed"),
            Unanswered::NotSent => Status::unavailable("no connection to the endpoint"),
            _ => Status::unavailable("the connection broke"),
        };
        Self { what, status }
    }

    /// The error that a status was made of, if one was: an answer of the other side has none.
    pub fn of(status: &Status) -> Option<&Self> {
        let mut source = status.source();
        while let Some(error) = source {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            source = error.source();
        }
        None
    }

    pub fn what(&self) -> Unanswered {
        self.what
    }

    /// Whether the call has surely reached nobody, so that making it again is safe whatever it is.
    pub fn is_unsent(&self) -> bool {
        self.what != Unanswered::Sent
    }

    /// Whether its time was up before an answer came.
    pub(super) fn is_late(&self) -> bool {
        self.status.code() == Code::DeadlineExceeded
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.status.message())
    }
}

impl Error for ChannelError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.status)
    }
}

/// Whether an error or anything that it came of is such a one.
fn comes_of(error: &(dyn Error + 'static), is: fn(&(dyn Error + 'static)) -> bool) -> bool {
    let mut source = Some(error);
    while let Some(error) = source {
        if is(error) {
            return true;
        }
        source = error.source();
    }
    false
}

/// A refused connection; a connection that closed before the call was taken from its queue; a stream that
/// the other side says it has not processed (RFC 9113, sections 6.8 and 8.7).
fn was_not_sent(error: &(dyn Error + 'static)) -> bool {
    let unprocessed = |error: &h2::Error| {
        error.is_remote()
            && match error.reason() {
                Some(h2::Reason::REFUSED_STREAM) => true,
                Some(h2::Reason::NO_ERROR) => error.is_go_away(),
                _ => false,
            }
    };
    error.is::<ConnectError>()
        || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
        || error.downcast_ref::<h2::Error>().is_some_and(unprocessed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_made_of_an_error_tells_what_it_was() {
        let status = Status::from_error(Box::new(ChannelError::no_endpoint()));
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "no healthy endpoint"));
        let found = ChannelError::of(&status).unwrap();
        assert!(found.what() == Unanswered::NoEndpoint && found.is_unsent());
        assert!(ChannelError::of(&Status::unavailable("an answer")).is_none());
    }
}
