//! The statuses that calls are refused with, and the details by which a caller tells them apart
//! (<https://google.aip.dev/193>). They say what is wrong and what would be right, never a value of the
//! request and nothing of our own inside. Which errors a handler has is its own matter.

use crate::platform::{
    admission::{Denied, Refused},
    limits::{Decision, config::PerClient},
    resilience::Shed,
};
use std::{borrow::Cow, time::Duration};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of every `ErrorInfo` that is made here.
pub const DOMAIN: &str = "platform";
/// The reason in the `ErrorInfo` of a call that was shed: the other side chose not to answer it, and is no
/// less well for it.
pub const DEGRADED: &str = "DEGRADED";
/// The reason where a change may or may not have been stored: repeating it with the same idempotency key is safe.
pub const COMMIT_UNKNOWN: &str = "COMMIT_UNKNOWN";

/// A field of the message that is not valid, by its name in the protocol, and what would be.
pub type Violation = (&'static str, Cow<'static, str>);

/// INVALID_ARGUMENT with a `BadRequest`.
pub fn invalid(violations: impl IntoIterator<Item = Violation>) -> Status {
    let mut details = ErrorDetails::new();
    for (field, rule) in violations {
        details.add_bad_request_violation(field, rule);
    }
    with(Code::InvalidArgument, "the request is not valid; see the details for each field", details)
}

/// UNAVAILABLE with a `RetryInfo`: not now, and nothing was stored.
pub fn unavailable(message: &'static str, retry_after: Duration) -> Status {
    with(Code::Unavailable, message, ErrorDetails::with_retry_info(Some(retry_after)))
}

/// UNAVAILABLE with a `RetryInfo` and the reason [`COMMIT_UNKNOWN`].
pub fn commit_unknown(retry_after: Duration) -> Status {
    let message = "it may have been stored; repeating with the same idempotency-key is safe";
    with(Code::Unavailable, message, because(COMMIT_UNKNOWN, retry_after))
}

/// INTERNAL: our own defect, of which the caller learns nothing; the trace leads to it.
pub fn internal() -> Status {
    Status::internal("something failed here; the trace leads to it")
}

/// UNAVAILABLE with a `RetryInfo` and the reason [`DEGRADED`].
pub(super) fn shed(shed: Shed) -> Status {
    with(Code::Unavailable, "not to be had for a while", because(DEGRADED, shed.retry_after))
}

/// UNAUTHENTICATED, PERMISSION_DENIED, or RESOURCE_EXHAUSTED with a `RetryInfo`, after which one call passes.
pub(super) fn refused(refused: Refused, decision: &Decision, limit: PerClient) -> Status {
    match refused {
        Refused::Limited => {
            let PerClient { rate, burst } = limit;
            let message = format!("a client may send {burst} calls at once, and {rate} a second");
            let details = ErrorDetails::with_retry_info(Some(decision.retry_after));
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        Refused::Denied(Denied::Unauthenticated { presented: false }) => {
            Status::unauthenticated("send a key as authorization: Bearer KEY")
        }
        Refused::Denied(Denied::Unauthenticated { presented: true }) => {
            Status::unauthenticated("the key is not known, or no longer")
        }
        Refused::Denied(Denied::Forbidden(scope)) => {
            Status::permission_denied(format!("the key lacks the scope {scope}"))
        }
        Refused::Denied(Denied::NoKeys) => {
            Status::permission_denied("this takes an API key, and none are configured")
        }
    }
}

/// UNIMPLEMENTED: there is no such method.
pub(super) fn no_such_method() -> Status {
    Status::unimplemented("no such method is served here")
}

/// DEADLINE_EXCEEDED. What was begun may go on: a commit in flight is not taken back.
pub(super) fn too_late() -> Status {
    Status::deadline_exceeded("the deadline passed before the answer was there")
}

/// INVALID_ARGUMENT: the caller wants a deadline, and which one can't be read.
pub(super) fn malformed_timeout() -> Status {
    Status::invalid_argument("grpc-timeout is up to eight digits and one of H, M, S, m, u, n")
}

/// CANCELLED, as by a caller that leaves: the request did not arrive in time; nothing was done.
pub(super) fn slow_request() -> Status {
    Status::cancelled("the request took too long to arrive")
}

/// RESOURCE_EXHAUSTED without a `RetryInfo`: it will not pass later either. `limit` is in bytes.
pub(super) fn too_large(limit: usize) -> Status {
    Status::resource_exhausted(format!("a message may have {limit} bytes at most"))
}

fn because(reason: &'static str, retry_after: Duration) -> ErrorDetails {
    let mut details = ErrorDetails::with_retry_info(Some(retry_after));
    details.set_error_info(reason, DOMAIN, std::collections::HashMap::<String, String>::new());
    details
}

fn with(code: Code, message: &'static str, details: ErrorDetails) -> Status {
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{auth::Scope, resilience::Feature};

    const LATER: Duration = Duration::from_millis(1500);

    fn delay(status: &Status) -> Option<Duration> {
        status.get_details_retry_info().and_then(|info| info.retry_delay)
    }

    #[test]
    fn each_invalid_field_is_named_with_its_rule() {
        let status = invalid([("patient_id", Cow::Borrowed("must be short")), ("content", "a".into())]);
        assert_eq!(status.code(), Code::InvalidArgument);
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 2);
        assert_eq!((&*violations[0].field, &*violations[0].description), ("patient_id", "must be short"));
    }

    #[test]
    fn a_shed_call_is_told_from_a_failed_one_and_both_say_when_to_come_again() {
        let feature = Feature { name: "preview", level: 1 };
        let turned_away = shed(Shed { feature, retry_after: LATER });
        let info = turned_away.get_details_error_info().unwrap();
        assert_eq!((&*info.reason, &*info.domain), (DEGRADED, DOMAIN));
        let failed = unavailable("the store is away", LATER);
        assert!(failed.get_details_error_info().is_none());
        for status in [&turned_away, &failed, &commit_unknown(LATER)] {
            assert_eq!((status.code(), delay(status)), (Code::Unavailable, Some(LATER)));
        }
    }

    #[test]
    fn what_is_refused_at_the_door_has_the_code_that_says_why() {
        let decision = Decision {
            allowed: false,
            remaining: 0,
            retry_after: LATER,
            more_after: LATER,
            full_after: LATER,
        };
        let of = |why| refused(why, &decision, PerClient { rate: 1, burst: 2 });
        let limited = of(Refused::Limited);
        assert_eq!((limited.code(), delay(&limited)), (Code::ResourceExhausted, Some(LATER)));
        for presented in [false, true] {
            let denied = of(Refused::Denied(Denied::Unauthenticated { presented }));
            assert_eq!(denied.code(), Code::Unauthenticated);
        }
        for denied in [Denied::NoKeys, Denied::Forbidden(Scope::Send)] {
            assert_eq!(of(Refused::Denied(denied)).code(), Code::PermissionDenied);
        }
    }
}
