//! What it means that an attempt failed: for the endpoint's load, the breaker and the throttle, and for whether
//! the call may be made again.

use crate::load;
use chassis_resilience::{Verdict, believable};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// The reason in the `ErrorInfo` of a call that was shed: the service chose not to answer, and is no less well.
pub const DEGRADED: &str = "DEGRADED";

/// Why the channel did not send a call; the source of the status that its caller gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the circuit breaker is open")]
    BreakerOpen,
    #[error("the service rejected most of the recent calls")]
    Throttled,
    #[error("the deadline had passed before the call was sent")]
    Deadline,
    #[error("no healthy endpoint")]
    NoEndpoint,
}

impl Refusal {
    /// The refusal that a status was made of, if one was.
    pub fn of(status: &Status) -> Option<Self> {
        sources(status.source()).find_map(|error| error.downcast_ref().copied())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let code = if refusal == Refusal::Deadline { Code::DeadlineExceeded } else { Code::Unavailable };
        let mut status = Self::new(code, refusal.to_string());
        status.set_source(Arc::new(refusal));
        status
    }
}

/// Whether the other service shed this call on purpose.
pub fn is_shed(status: &Status) -> bool {
    status.code() == Code::Unavailable
        && status.get_details_error_info().is_some_and(|info| info.reason == DEGRADED)
}

/// How long the other service asks to be left alone, at most an hour.
pub fn retry_after(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay).map(believable)
}

// Why a call is made again: label values of `rpc_client_retries_total`.
pub(crate) const NOT_SENT: &str = "not_sent";
pub(crate) const UNAVAILABLE: &str = "unavailable";
pub(crate) const OTHER_ENDPOINT: &str = "other_endpoint";

/// How far an attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The service answered, or its time ran out.
    Answered,
    /// No connection could be made.
    NoConnection,
    /// The server closed the connection in good order before it looked at the call.
    Draining,
    /// The connection broke after the call was sent, or may have been.
    Broken,
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub status: Status,
    pub reach: Reach,
}

/// What an attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    /// For the endpoint's load.
    pub load: load::Outcome,
    /// For the breaker.
    pub verdict: Verdict,
    /// For the throttle: whether the service took the call, if it was asked and had time.
    pub accepted: Option<bool>,
    /// Why the call may be made again if it is repeatable; what was not sent always is.
    pub retry: Option<&'static str>,
}

/// That of a success.
impl Default for Meaning {
    fn default() -> Self {
        let load = load::Outcome::Answered;
        Self { load, verdict: Verdict::Success, accepted: Some(true), retry: None }
    }
}

impl Failed {
    pub fn answer(status: Status) -> Self {
        Self { status, reach: Reach::Answered }
    }

    pub fn late() -> Self {
        Self::answer(Status::deadline_exceeded("no answer in time"))
    }

    /// Tells by the sources of an error how far the attempt got.
    pub fn transport(error: &(dyn Error + 'static)) -> Self {
        let any = |is: fn(&(dyn Error + 'static)) -> bool| sources(Some(error)).any(is);
        let (reach, message) = match () {
            () if any(<dyn Error>::is::<TimeoutExpired>) => return Self::late(),
            () if any(<dyn Error>::is::<ConnectError>) => (Reach::NoConnection, "no connection was made"),
            () if any(was_not_processed) => (Reach::Draining, "the endpoint closed the connection"),
            () => (Reach::Broken, "the connection broke"),
        };
        Self { status: Status::unavailable(message), reach }
    }

    /// A fault that may be the endpoint's own (a key that is not rolled out there yet, an old version, a broken
    /// disk) never makes it a fast one, and another one may do better. The caller's faults are answers.
    /// `fair` is whether there was so much time that running out of it is the service's fault.
    pub fn meaning(&self, fair: bool) -> Meaning {
        use Code::{
            Cancelled, DataLoss, DeadlineExceeded, Internal, PermissionDenied, ResourceExhausted,
            Unauthenticated, Unavailable, Unimplemented, Unknown,
        };
        use Verdict::{Failure, Ignored, Success};
        use load::Outcome::{Answered, Failed};
        let (load, verdict, accepted, retry) = match (self.reach, self.status.code()) {
            (Reach::NoConnection, _) => (Failed, Failure, None, Some(NOT_SENT)),
            (Reach::Draining, _) => (load::Outcome::Unknown, Ignored, None, Some(NOT_SENT)),
            (_, DeadlineExceeded) if fair => (Failed, Failure, Some(false), None),
            // Little time says more about the caller.
            (_, DeadlineExceeded) => (Failed, Ignored, None, None),
            (_, Cancelled) => (Answered, Ignored, None, None),
            // Shed on purpose: more calls would make it worse.
            (_, Unavailable) if is_shed(&self.status) => (Failed, Ignored, Some(false), None),
            (_, Unavailable) => (Failed, Failure, Some(false), Some(UNAVAILABLE)),
            (_, ResourceExhausted) => (Failed, Success, Some(false), None),
            (_, Internal | Unknown | DataLoss) => (Failed, Failure, Some(true), Some(OTHER_ENDPOINT)),
            (_, Unauthenticated | PermissionDenied | Unimplemented) => {
                (Failed, Success, Some(true), Some(OTHER_ENDPOINT))
            }
            _ => return Meaning::default(),
        };
        Meaning { load, verdict, accepted, retry }
    }
}

/// An error and everything that it came of.
fn sources<'a>(first: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(first, |&error| error.source())
}

/// A connection that closed before the call was taken from its queue, or a stream that the server says it has
/// not processed (RFC 9113, sections 6.8 and 8.7).
fn was_not_processed(error: &(dyn Error + 'static)) -> bool {
    let unprocessed = |error: &h2::Error| {
        let is = |reason| error.reason() == Some(reason);
        error.is_remote()
            && (is(h2::Reason::REFUSED_STREAM) || is(h2::Reason::NO_ERROR) && error.is_go_away())
    };
    error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
        || error.downcast_ref::<h2::Error>().is_some_and(unprocessed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    fn answered(code: Code) -> Failed {
        Failed::answer(Status::new(code, ""))
    }

    fn broken() -> Failed {
        Failed::transport(&std::io::Error::other("gone"))
    }

    fn shed() -> Failed {
        let details = ErrorDetails::with_error_info(DEGRADED, "shop", HashMap::<String, String>::new());
        Failed::answer(Status::with_error_details(Code::Unavailable, "", details))
    }

    /// The codes of answers that mean this.
    fn codes(means: impl Fn(Meaning) -> bool) -> Vec<Code> {
        (1..17).map(Code::from_i32).filter(|code| means(answered(*code).meaning(true))).collect()
    }

    #[test]
    fn a_fault_that_may_be_the_endpoints_never_makes_it_attractive() {
        use Code::{
            Aborted, AlreadyExists, Cancelled, FailedPrecondition, InvalidArgument, NotFound, OutOfRange,
        };
        let business =
            [Cancelled, InvalidArgument, NotFound, AlreadyExists, FailedPrecondition, Aborted, OutOfRange];
        assert_eq!(codes(|meaning| meaning.load == load::Outcome::Answered), business);
        assert_eq!(broken().meaning(true).load, load::Outcome::Failed);
    }

    #[test]
    fn five_codes_are_failures_for_the_breaker_and_lost_calls_are_too() {
        use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
        let faults = [Unknown, DeadlineExceeded, Internal, Unavailable, DataLoss];
        assert_eq!(codes(|meaning| meaning.verdict == Verdict::Failure), faults);
        for failed in [broken(), Failed::late()] {
            assert_eq!(failed.meaning(true).verdict, Verdict::Failure, "{failed:?}");
        }
        assert_eq!(Failed::late().meaning(false).verdict, Verdict::Ignored);
        for failed in [shed(), answered(Code::Cancelled)] {
            assert_eq!(failed.meaning(true).verdict, Verdict::Ignored, "{failed:?}");
        }
    }

    #[test]
    fn the_throttle_counts_what_was_turned_away() {
        let refused = [Code::DeadlineExceeded, Code::ResourceExhausted, Code::Unavailable];
        assert_eq!(codes(|meaning| meaning.accepted == Some(false)), refused);
        assert_eq!(shed().meaning(true).accepted, Some(false));
        assert_eq!(Failed::late().meaning(false).accepted, None);
        assert_eq!(answered(Code::Cancelled).meaning(true).accepted, None);
    }

    #[test]
    fn only_what_is_worth_it_is_retried() {
        use Code::{
            DataLoss, Internal, PermissionDenied, Unauthenticated, Unavailable, Unimplemented, Unknown,
        };
        assert_eq!(codes(|meaning| meaning.retry == Some(UNAVAILABLE)), [Unavailable]);
        let elsewhere = [Unknown, PermissionDenied, Unimplemented, Internal, DataLoss, Unauthenticated];
        assert_eq!(codes(|meaning| meaning.retry == Some(OTHER_ENDPOINT)), elsewhere);
        assert_eq!(broken().meaning(true).retry, Some(UNAVAILABLE));
        for failed in [shed(), Failed::late()] {
            assert_eq!(failed.meaning(true).retry, None, "{failed:?}");
        }
    }

    #[test]
    fn a_wait_that_a_peer_asks_for_is_at_most_an_hour() {
        let status = |wait| {
            let details = ErrorDetails::with_retry_info(Some(wait));
            Status::with_error_details(Code::Unavailable, "", details)
        };
        assert_eq!(retry_after(&status(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&status(Duration::MAX)), Some(Duration::from_secs(3600)));
        assert_eq!(retry_after(&Status::unavailable("")), None);
    }

    #[test]
    fn a_refusal_is_known_again_by_its_status() {
        let status = Status::from(Refusal::NoEndpoint);
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "no healthy endpoint"));
        assert_eq!(Refusal::of(&status), Some(Refusal::NoEndpoint));
        assert_eq!(Refusal::of(&Status::unavailable("no healthy endpoint")), None);
    }
}
