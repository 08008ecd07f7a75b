//! What a write is for, as metrics and traces are told, and what a committed one returns.

use crate::platform::telemetry::TraceContext;
use std::time::Duration;

/// What a write is for: the `operation` label of the commit metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Accept,
    Begin,
    Complete,
    /// The domain's own writes, a person's decisions, housekeeping. Measured as `accept`, in whose place
    /// (a caller waits for it) it stands.
    Other,
}

impl Operation {
    pub(super) fn as_str(self) -> &'static str {
        match self.measured_as() {
            Self::Begin => "begin",
            Self::Complete => "complete",
            Self::Accept | Self::Other => "accept",
        }
    }

    pub(super) fn measured_as(self) -> Self {
        if self == Self::Other { Self::Accept } else { self }
    }
}

/// A write's description for metrics and traces.
#[derive(Clone, Copy, Debug)]
pub struct Purpose {
    pub operation: Operation,
    /// Jobs or records that it writes.
    pub rows: usize,
    /// The trace that the batch's span links to.
    pub trace: Option<TraceContext>,
}

impl Purpose {
    /// A write of one record for the current span's trace.
    pub fn of(operation: Operation) -> Self {
        Self { operation, rows: 1, trace: TraceContext::current() }
    }
}

/// What a committed write returns.
#[derive(Debug)]
pub struct Committed<T> {
    pub value: T,
    /// From the call until the batch began.
    pub waited: Duration,
    /// From the batch's begin until it was synced.
    pub committed: Duration,
}
