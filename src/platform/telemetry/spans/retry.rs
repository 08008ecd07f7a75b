//! When a batch is sent again: the retryable codes of OTLP's specification
//! (<https://opentelemetry.io/docs/specs/otlp/#failures>), and how long to wait before.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};

/// How often a batch is tried at most.
pub(super) const MAX_ATTEMPTS: u32 = 5;
const BASE_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Why a batch was not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// For the log line: a closed set of words.
    pub kind: &'static str,
    pub again: Again,
}

/// Whether a batch may be sent again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Again {
    Never,
    /// After a delay of our own.
    Later,
    /// After the delay that the collector asked for.
    After(Duration),
}

/// The delay before attempt `attempt` (from 2 on): doubled each time, between half of it and all of it.
pub(super) fn delay(attempt: u32, again: &Again) -> Duration {
    let own = BASE_DELAY.saturating_mul(1 << attempt.saturating_sub(2).min(16)).min(MAX_DELAY);
    match again {
        Again::After(asked) => *asked,
        Again::Later | Again::Never => own.mul_f64(rand::random_range(0.5..=1.0)),
    }
}

impl Failure {
    pub const TIMED_OUT: Self = Self { kind: "timed_out", again: Again::Later };

    pub fn of_grpc(status: &Status) -> Self {
        let asked = RetryInfo::delay_in(status.details());
        let again = match (status.code(), asked) {
            (_, Some(delay)) if retryable(status.code()) || status.code() == Code::ResourceExhausted => {
                Again::After(delay)
            }
            (code, _) if retryable(code) => Again::Later,
            _ => Again::Never,
        };
        let kind = match status.code() {
            Code::Unavailable => "unavailable",
            Code::DeadlineExceeded | Code::Cancelled => "timed_out",
            Code::ResourceExhausted => "exhausted",
            Code::Unauthenticated | Code::PermissionDenied => "forbidden",
            _ => "refused",
        };
        Self { kind, again }
    }

    /// `retry_after` is the header's value in seconds.
    pub fn of_http(status: u16, retry_after: Option<u64>) -> Self {
        let again = match (status, retry_after) {
            (429 | 502 | 503 | 504, Some(seconds)) => Again::After(Duration::from_secs(seconds)),
            (429 | 502 | 503 | 504, None) => Again::Later,
            _ => Again::Never,
        };
        let kind = match status {
            401 | 403 => "forbidden",
            429 => "exhausted",
            502..=504 => "unavailable",
            _ => "refused",
        };
        Self { kind, again }
    }
}

fn retryable(code: Code) -> bool {
    use Code::{Aborted, Cancelled, DataLoss, DeadlineExceeded, OutOfRange, Unavailable};
    matches!(code, Cancelled | DeadlineExceeded | Aborted | OutOfRange | Unavailable | DataLoss)
}

/// `google.rpc.Status`, of which only the details are read.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<AnyMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyMessage {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl RetryInfo {
    fn delay_in(details: &[u8]) -> Option<Duration> {
        let status = RpcStatus::decode(details).ok()?;
        let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
        let delay = Self::decode(info.value.as_slice()).ok()?.retry_delay?;
        Some(Duration::new(delay.seconds.try_into().ok()?, delay.nanos.clamp(0, 999_999_999).unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exhausted(details: Vec<u8>) -> Failure {
        Failure::of_grpc(&Status::with_details(Code::ResourceExhausted, "", details.into()))
    }

    #[test]
    fn only_what_the_specification_calls_retryable_is_tried_again() {
        let again = |code| Failure::of_grpc(&Status::new(code, "")).again;
        assert_eq!(again(Code::Unavailable), Again::Later);
        assert_eq!(again(Code::DeadlineExceeded), Again::Later);
        assert_eq!(again(Code::InvalidArgument), Again::Never);
        assert_eq!(again(Code::Unauthenticated), Again::Never);
        assert_eq!(again(Code::ResourceExhausted), Again::Never);
        assert_eq!(Failure::of_http(503, Some(7)).again, Again::After(Duration::from_secs(7)));
        assert_eq!(Failure::of_http(429, None).again, Again::Later);
        assert_eq!(Failure::of_http(500, None).again, Again::Never);
        assert_eq!(Failure::of_http(400, Some(1)).again, Again::Never);
    }

    #[test]
    fn an_exhausted_collector_is_asked_again_when_it_says_so() {
        let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds: 3, nanos: 500_000_000 }) };
        let any = AnyMessage {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: info.encode_to_vec(),
        };
        let details = RpcStatus { details: vec![any] }.encode_to_vec();
        assert_eq!(exhausted(details).again, Again::After(Duration::from_millis(3500)));
    }

    proptest! {
        #[test]
        fn no_details_panic(details in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = exhausted(details);
        }

        #[test]
        fn delays_grow_within_their_bounds(attempt in 0u32..) {
            let delay = delay(attempt, &Again::Later);
            prop_assert!(delay >= BASE_DELAY / 2 && delay <= MAX_DELAY);
        }
    }
}
