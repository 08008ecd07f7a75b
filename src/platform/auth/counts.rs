//! Counting: what became of requests by the key that made them, and of reloads. Handles are made once a key, when it is
//! loaded; the series of a key that is gone stays, since a counter never goes back.

use super::{KeyName, name::NOBODY};
use crate::platform::telemetry::names;
use metrics::Counter;

/// The series of one key, or of all that have none.
#[derive(Debug)]
pub(in crate::platform) struct Counts {
    /// It may do what it asked for. Whether the rate limit then let it, is counted there.
    pub ok: Counter,
    /// No known key where one is needed.
    pub unknown_key: Counter,
    /// The key is known, and lacks the scope.
    pub forbidden: Counter,
}

impl Counts {
    pub(super) fn of(name: &KeyName) -> Self {
        Self::named(name.as_str())
    }

    pub(super) fn of_nobody() -> Self {
        Self::named(NOBODY)
    }

    fn named(name: &str) -> Self {
        let counter = |outcome: &'static str| {
            metrics::counter!(
                names::AUTH_REQUESTS,
                names::LABEL_KEY => name.to_owned(),
                names::LABEL_OUTCOME => outcome,
            )
        };
        Self { ok: counter("ok"), unknown_key: counter("unknown_key"), forbidden: counter("forbidden") }
    }
}

/// What became of the key file when it was read again.
#[derive(Debug)]
pub(super) struct Reloads {
    pub ok: Counter,
    /// It was broken, and the keys from before stay.
    pub failed: Counter,
}

impl Reloads {
    pub fn new() -> Self {
        let counter = |outcome: &'static str| metrics::counter!(names::AUTH_KEY_FILE_RELOADS, names::LABEL_OUTCOME => outcome);
        Self { ok: counter("ok"), failed: counter("failed") }
    }
}
