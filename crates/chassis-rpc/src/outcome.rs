//! What it means that an attempt failed: for the endpoint's load, the breaker and the throttle, and for whether
//! the call may be made again.

use crate::load;
use chassis_resilience::{Verdict, believable};
use http::StatusCode;
use std::{error::Error, sync::Arc, time::Duration};
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

/// How far an attempt got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The other service answered.
    Answered,
    /// There is no healthy endpoint.
    Nobody,
    /// No connection could be made.
    NoConnection,
    /// The server closed the connection in good order before it looked at the call.
    Draining,
    /// The connection broke after the call was sent, or may have been.
    Broken,
    /// No answer came in time.
    Late,
}

/// A failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub status: Status,
    pub reach: Reach,
    /// Whether the attempt had so much time that running out of it is the other service's fault.
    fair: bool,
}

impl Failed {
    pub fn answered(status: Status, fair: bool) -> Self {
        Self { status, reach: Reach::Answered, fair }
    }

    pub fn nobody() -> Self {
        Self { status: Refusal::NoEndpoint.into(), reach: Reach::Nobody, fair: true }
    }

    pub fn late(fair: bool) -> Self {
        Self { status: Status::deadline_exceeded("no answer in time"), reach: Reach::Late, fair }
    }

    /// Tells by the sources of an error how far the attempt got.
    pub fn transport(error: &(dyn Error + 'static), fair: bool) -> Self {
        let any = |is: fn(&(dyn Error + 'static)) -> bool| sources(Some(error)).any(is);
        let (reach, message) = match () {
            () if any(<dyn Error>::is::<TimeoutExpired>) => return Self::late(fair),
            () if any(<dyn Error>::is::<ConnectError>) => {
                (Reach::NoConnection, "no connection to the endpoint")
            }
            () if any(was_not_processed) => (Reach::Draining, "the endpoint closed the connection"),
            () => (Reach::Broken, "the connection broke"),
        };
        Self { status: Status::unavailable(message), reach, fair }
    }

    /// What the attempt says about the endpoint: never that it is a fast one, if the fault may be its own (a key
    /// that is not rolled out there yet, an old version, a broken disk).
    pub fn load(&self) -> load::Outcome {
        use Code::{
            DataLoss, DeadlineExceeded, Internal, PermissionDenied, ResourceExhausted, Unauthenticated,
            Unavailable, Unimplemented, Unknown,
        };
        match (self.reach, self.status.code()) {
            (Reach::Draining | Reach::Nobody, _) => load::Outcome::Unsent,
            (Reach::NoConnection | Reach::Broken | Reach::Late, _) => load::Outcome::Failed,
            (
                Reach::Answered,
                Unauthenticated | PermissionDenied | Unimplemented | Unavailable | Internal | Unknown
                | DataLoss | DeadlineExceeded | ResourceExhausted,
            ) => load::Outcome::Failed,
            (Reach::Answered, _) => load::Outcome::Answered,
        }
    }

    /// What the attempt says to the breaker. An answer that the call was wrong, or one of too many, is an answer.
    pub fn verdict(&self) -> Verdict {
        use Code::{Cancelled, DataLoss, DeadlineExceeded, Internal, Unavailable, Unknown};
        match self.status.code() {
            // Little time says more about the caller.
            DeadlineExceeded if !self.fair => Verdict::Ignored,
            Cancelled => Verdict::Ignored,
            Unavailable if is_shed(&self.status) || self.reach == Reach::Draining => Verdict::Ignored,
            Unavailable | DeadlineExceeded | Unknown | Internal | DataLoss => Verdict::Failure,
            _ => Verdict::Success,
        }
    }

    /// What the attempt says to the throttle: whether the service took the call, if it was asked and had time.
    pub fn accepted(&self) -> Option<bool> {
        match (self.reach, self.status.code()) {
            (Reach::NoConnection | Reach::Draining | Reach::Nobody, _) | (_, Code::Cancelled) => None,
            (_, Code::DeadlineExceeded) => self.fair.then_some(false),
            (_, Code::Unavailable | Code::ResourceExhausted) => Some(false),
            _ => Some(true),
        }
    }

    /// Why the call may be made again, if it may. Not if it was shed, which more calls would make worse, not if
    /// time ran out, and not if there is nobody.
    pub fn retry(&self, repeatable: bool) -> Option<&'static str> {
        use Code::{
            DataLoss, Internal, PermissionDenied, Unauthenticated, Unavailable, Unimplemented, Unknown,
        };
        match (self.reach, self.status.code()) {
            (Reach::NoConnection | Reach::Draining, _) => Some("not_sent"),
            (Reach::Nobody | Reach::Late, _) => None,
            _ if !repeatable || is_shed(&self.status) => None,
            (_, Unavailable) => Some("unavailable"),
            // Perhaps this endpoint's fault alone: another one is asked once.
            (_, Unauthenticated | PermissionDenied | Unimplemented | Internal | Unknown | DataLoss) => {
                Some("other_endpoint")
            }
            _ => None,
        }
    }
}

/// The status of an answer without a `grpc-status`
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
pub(crate) fn of_http(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("an answer with HTTP status {status} and without a grpc-status"))
}

pub(crate) fn is_connect_error(status: &Status) -> bool {
    sources(status.source()).any(|error| error.is::<ConnectError>())
}

/// An error and everything that it came of.
fn sources<'a>(first: Option<&'a (dyn Error + 'static)>) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(first, |error| {
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    })
}

/// A connection that closed before the call was taken from its queue, or a stream that the server says it has
/// not processed (RFC 9113, sections 6.8 and 8.7).
fn was_not_processed(error: &(dyn Error + 'static)) -> bool {
    let unprocessed = |error: &h2::Error| {
        error.is_remote()
            && match error.reason() {
                Some(h2::Reason::REFUSED_STREAM) => true,
                Some(h2::Reason::NO_ERROR) => error.is_go_away(),
                _ => false,
            }
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
        Failed::answered(Status::new(code, ""), true)
    }

    fn broken() -> Failed {
        Failed::transport(&std::io::Error::other("gone"), true)
    }

    fn shed() -> Failed {
        let details = ErrorDetails::with_error_info(DEGRADED, "shop", HashMap::<String, String>::new());
        Failed::answered(Status::with_error_details(Code::Unavailable, "", details), true)
    }

    fn all() -> impl Iterator<Item = Code> {
        (1..17).map(Code::from_i32)
    }

    #[test]
    fn a_fault_that_may_be_the_endpoints_never_makes_it_attractive() {
        let answers: Vec<Code> =
            all().filter(|code| answered(*code).load() == load::Outcome::Answered).collect();
        let business = [
            Code::Cancelled,
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::FailedPrecondition,
            Code::Aborted,
            Code::OutOfRange,
        ];
        assert_eq!(answers, business);
        assert_eq!(broken().load(), load::Outcome::Failed);
    }

    #[test]
    fn five_codes_are_failures_for_the_breaker_and_lost_calls_are_too() {
        let failures: Vec<Code> =
            all().filter(|code| answered(*code).verdict() == Verdict::Failure).collect();
        let faults =
            [Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Unavailable, Code::DataLoss];
        assert_eq!(failures, faults);
        for failed in [broken(), Failed::nobody(), Failed::late(true)] {
            assert_eq!(failed.verdict(), Verdict::Failure, "{failed:?}");
        }
        let hurried = [Failed::late(false), Failed::answered(Status::deadline_exceeded(""), false)];
        for failed in hurried.into_iter().chain([shed(), answered(Code::Cancelled)]) {
            assert_eq!(failed.verdict(), Verdict::Ignored, "{failed:?}");
        }
    }

    #[test]
    fn the_throttle_counts_what_was_turned_away() {
        for failed in
            [shed(), answered(Code::ResourceExhausted), answered(Code::Unavailable), Failed::late(true)]
        {
            assert_eq!(failed.accepted(), Some(false), "{failed:?}");
        }
        for code in [Code::NotFound, Code::Internal, Code::Unauthenticated] {
            assert_eq!(answered(code).accepted(), Some(true));
        }
        for failed in [Failed::nobody(), Failed::late(false), answered(Code::Cancelled)] {
            assert_eq!(failed.accepted(), None, "{failed:?}");
        }
    }

    #[test]
    fn only_what_is_safe_and_worth_it_is_retried() {
        for failed in [answered(Code::Unavailable), broken()] {
            assert_eq!((failed.retry(true), failed.retry(false)), (Some("unavailable"), None));
        }
        for code in [Code::PermissionDenied, Code::Internal] {
            assert_eq!(
                (answered(code).retry(true), answered(code).retry(false)),
                (Some("other_endpoint"), None)
            );
        }
        for failed in [shed(), Failed::nobody(), Failed::late(true), answered(Code::NotFound)] {
            assert_eq!(failed.retry(true), None, "{failed:?}");
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
