//! The domain's refusals as problems: what each means to the caller.

pub use crate::platform::http::refusals::{commit_unknown, store_unavailable, unread, unwritten};
use crate::{
    notify::model::Channel,
    platform::{
        http::{Fault, Problem, refusals::key_reused},
        queue::Refused,
    },
};
use axum::http::StatusCode;
use std::time::Duration;

pub fn no_such_notification() -> Problem {
    Problem::not_found("There is no notification of this id.")
}

pub fn no_such_batch() -> Problem {
    Problem::not_found("There is no batch of this id.")
}

pub fn no_contact(channel: Channel) -> Problem {
    let missing = match channel {
        Channel::Sms => "the directory has no phone of this patient",
        Channel::Push => "the directory has no push token of this patient",
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-contact", "The patient cannot be reached")
        .detail("Put a contact of the patient into the directory first.")
        .errors(vec![Fault { pointer: "/patientId".to_owned(), detail: missing.to_owned() }])
}

/// The first use of the key is still being delivered.
pub fn in_flight() -> Problem {
    Problem::conflict("in-flight", "A request with this Idempotency-Key is still being delivered.")
        .retry_after(Duration::from_secs(1))
}

/// The breaker before the gateway is open.
pub fn gateway_unavailable(after: Duration) -> Problem {
    let detail = "The gateway does not answer as it should, so that it is not asked now; nothing was stored.";
    Problem::unavailable("gateway-unavailable", detail).retry_after(after)
}

pub fn refused(refused: &Refused, channel: Channel) -> Problem {
    match refused {
        Refused::BacklogFull { retry_after } => {
            Problem::unavailable("backlog-full", "Too many notifications are waiting; nothing was stored.")
                .retry_after(*retry_after)
        }
        Refused::KeyReused => {
            key_reused("The Idempotency-Key was used within 24 hours for another body or study.")
        }
        Refused::Unmet => no_contact(channel),
        Refused::StoreUnavailable => store_unavailable(),
        Refused::CommitUnknown => commit_unknown(),
    }
}
