//! What it means that an attempt came to nothing: for the breaker, for the throttle, and for whether it may
//! be made again. What is done about it is decided in `call`.

use crate::platform::grpc::status::{DEGRADED, DOMAIN};
use std::{error::Error, time::Duration};
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt;

/// How far an attempt came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The other side answered it.
    Answered,
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
            (Reach::NotSent, _) | (_, Code::Cancelled) => None,
            (_, Code::DeadlineExceeded) => self.fair.then_some(false),
            (_, Code::Unavailable | Code::ResourceExhausted) => Some(false),
            _ => Some(true),
        }
    }

    /// Why it may be made again, if it may: it reached nobody, or it may be `repeatable` and nobody could
    /// answer it. Neither where it was shed, which more calls would make worse, nor where time ran out.
    pub fn reason(&self, repeatable: bool) -> Option<Reason> {
        match (self.reach, self.code()) {
            (Reach::NotSent, _) => Some(Reason::NotSent),
            (_, Code::Unavailable) if repeatable && !self.is_shed() => Some(Reason::Unavailable),
            _ => None,
        }
    }

    /// How long the other side asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.status.get_details_retry_info().and_then(|info| info.retry_delay)
    }
}

/// An answer of the other side has no source; whatever fails here has one.
fn reach(status: &Status) -> Reach {
    let mut source = status.source();
    if source.is_none() {
        return Reach::Answered;
    }
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return Reach::NotSent;
        }
        if error.is::<TimeoutExpired>() {
            return Reach::Late;
        }
        source = error.source();
    }
    Reach::Broken
}
