//! What it means that an attempt came to nothing: for the breaker, for the throttle, and for whether it may
//! be made again. What is done about it is decided in `call`.

use super::error::{ChannelError, Unanswered};
use crate::platform::grpc::status::{DEGRADED, DOMAIN};
use std::{error::Error, time::Duration};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The other side answered it.
    Answered,
    /// There is nobody to send it to.
    Nobody,
    /// It was surely not sent.
    NotSent,
    /// It was sent, or may have been; then the connection broke.
    Broken,
    /// Its time was up before an answer came.
    Late,
}

/// Why an attempt is made again: a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It had surely not been sent.
    NotSent,
    /// The other side could not answer, or the connection broke.
    Unavailable,
}

impl Reason {
    pub const ALL: [Self; 2] = [Self::NotSent, Self::Unavailable];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What an attempt says of the other side's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Well,
    Ill,
    /// Nothing.
    Silent,
}

/// An attempt that came to nothing.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub status: Status,
    pub reach: Reach,
    /// Whether it had so much time that its running out is the other side's fault.
    fair: bool,
}

impl Failed {
    /// `fair`: it had as much time as an answer may take before it is slow.
    pub fn new(status: Status, fair: bool) -> Self {
        let reach = reach(&status);
        // What a broken connection is told as depends on where it broke; all of it is the same to us.
        let status = match reach {
            Reach::Broken if status.code() != Code::Unavailable => {
                Status::unavailable("the connection broke")
            }
            _ => status,
        };
        Self { status, reach, fair }
    }

    /// No answer came in time.
    pub fn late(fair: bool) -> Self {
        Self { status: Status::deadline_exceeded("no answer in time"), reach: Reach::Late, fair }
    }

    /// The code that is told of it.
    pub fn code(&self) -> Code {
        if self.is_late() { Code::DeadlineExceeded } else { self.status.code() }
    }

    /// Whether time ran out, here or there.
    pub fn is_late(&self) -> bool {
        self.reach == Reach::Late || self.status.code() == Code::DeadlineExceeded
    }

    /// The other side chose not to answer, and is no less well for it.
    fn is_shed(&self) -> bool {
        self.status.code() == Code::Unavailable
            && self
                .status
                .get_details_error_info()
                .is_some_and(|info| info.reason == DEGRADED && info.domain == DOMAIN)
    }

    /// For the breaker. An answer that says that the call was wrong, or comes too often, is an answer.
    pub fn health(&self) -> Health {
        match self.code() {
            // Little time says more of who gave it.
            Code::DeadlineExceeded if !self.fair => Health::Silent,
            Code::Cancelled => Health::Silent,
            Code::Unavailable if self.is_shed() => Health::Silent,
            Code::Unavailable | Code::DeadlineExceeded | Code::Unknown | Code::Internal | Code::DataLoss => {
                Health::Ill
            }
            _ => Health::Well,
        }
    }

    /// For the throttle: whether the other side took the call, whatever it made of it. `None` where it was not asked,
    /// or not long enough.
    pub fn accepted(&self) -> Option<bool> {
        match (self.reach, self.code()) {
            (Reach::NotSent | Reach::Nobody, _) | (_, Code::Cancelled) => None,
            (_, Code::DeadlineExceeded) => self.fair.then_some(false),
            (_, Code::Unavailable | Code::ResourceExhausted) => Some(false),
            _ => Some(true),
        }
    }

    /// Why it may be made again, if it may: it was not sent, or it is `repeatable` and could not be answered.
    /// Neither where it was shed, which more calls would make worse, nor where time ran out, nor where there
    /// is nobody.
    pub fn reason(&self, repeatable: bool) -> Option<Reason> {
        match (self.reach, self.code()) {
            (Reach::NotSent, _) => Some(Reason::NotSent),
            (Reach::Nobody, _) => None,
            (_, Code::Unavailable) if repeatable && !self.is_shed() => Some(Reason::Unavailable),
            _ => None,
        }
    }

    /// How long the other side asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.status.get_details_retry_info().and_then(|info| info.retry_delay)
    }
}

/// An answer of the other side has no source; whatever fails on the way has one.
fn reach(status: &Status) -> Reach {
    let Some(error) = ChannelError::of(status) else {
        // What is no error of the channel's breaks in the middle of an answer.
        return if status.source().is_none() { Reach::Answered } else { Reach::Broken };
    };
    match error.what() {
        _ if error.is_late() => Reach::Late,
        Unanswered::NoEndpoint => Reach::Nobody,
        Unanswered::NotSent => Reach::NotSent,
        Unanswered::Sent => Reach::Broken,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::grpc::status;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    fn answered(code: Code) -> Failed {
        Failed::new(Status::new(code, ""), true)
    }

    fn broken(code: Code) -> Failed {
        let mut status = Status::new(code, "");
        status.set_source(std::sync::Arc::new(std::io::Error::other("gone")));
        Failed::new(status, true)
    }

    fn shed() -> Failed {
        let details = ErrorDetails::with_error_info(DEGRADED, DOMAIN, HashMap::<String, String>::new());
        Failed::new(Status::with_error_details(Code::Unavailable, "", details), true)
    }

    fn nobody() -> Failed {
        Failed::new(Status::from_error(Box::new(ChannelError::no_endpoint())), true)
    }

    #[test]
    fn five_codes_are_the_other_sides_fault() {
        let ill: Vec<Code> =
            (0..17).map(Code::from_i32).filter(|code| answered(*code).health() == Health::Ill).collect();
        let faults =
            [Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Unavailable, Code::DataLoss];
        assert_eq!(ill, faults);
        for code in [Code::Unknown, Code::Internal, Code::Cancelled] {
            assert_eq!(broken(code).health(), Health::Ill);
        }
        assert_eq!(nobody().health(), Health::Ill);
    }

    #[test]
    fn what_is_shed_or_left_or_had_little_time_says_nothing() {
        let hurried = [Failed::late(false), Failed::new(Status::deadline_exceeded(""), false)];
        for failed in hurried.into_iter().chain([shed(), answered(Code::Cancelled)]) {
            assert_eq!(failed.health(), Health::Silent, "{failed:?}");
        }
        assert_eq!(Failed::late(true).health(), Health::Ill);
    }

    #[test]
    fn what_was_turned_away_is_told_from_what_was_taken() {
        for failed in
            [shed(), answered(Code::ResourceExhausted), answered(Code::Unavailable), Failed::late(true)]
        {
            assert_eq!(failed.accepted(), Some(false), "{failed:?}");
        }
        for code in [Code::NotFound, Code::Internal, Code::Unauthenticated] {
            assert_eq!(answered(code).accepted(), Some(true));
        }
        for failed in [nobody(), Failed::late(false), answered(Code::Cancelled)] {
            assert_eq!(failed.accepted(), None, "{failed:?}");
        }
    }

    #[test]
    fn only_what_is_safe_and_worth_it_is_made_again() {
        assert_eq!(answered(Code::Unavailable).reason(true), Some(Reason::Unavailable));
        assert_eq!(broken(Code::Internal).reason(true), Some(Reason::Unavailable));
        let stored = Failed::new(status::commit_unknown(Duration::from_millis(1)), true);
        assert_eq!(stored.reason(true), Some(Reason::Unavailable));
        assert_eq!(stored.retry_after(), Some(Duration::from_millis(1)));
        for failed in [answered(Code::Unavailable), broken(Code::Unknown), stored] {
            assert_eq!(failed.reason(false), None);
        }
        for failed in [shed(), nobody(), Failed::late(true), answered(Code::Internal)] {
            assert_eq!(failed.reason(true), None, "{failed:?}");
        }
    }
}
