//! Status codes by their names, and a histogram for each: what both sides of a call are told as.

use crate::platform::telemetry::names;
use metrics::Histogram;
use std::sync::OnceLock;
use tonic::Code;

/// The code's name as in metrics, lines and spans: `NOT_FOUND`.
pub fn name(code: Code) -> &'static str {
    names::GRPC_CODES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

/// Whether a server's span is an error with this code, by OpenTelemetry's conventions
/// (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>).
pub fn is_server_error(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// Which side of a call measures it: a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// The durations of one method's calls, with their handles kept.
pub struct Durations {
    service: &'static str,
    method: &'static str,
    side: Side,
    kept: [OnceLock<Histogram>; names::GRPC_CODES.len()],
}

impl Durations {
    /// Both names are ours, never a caller's.
    pub fn new(service: &'static str, method: &'static str, side: Side) -> Self {
        Self { service, method, side, kept: Default::default() }
    }

    /// Records how long a call took, in seconds; a series appears on its first use.
    pub fn record(&self, code: Code, seconds: f64) {
        if let Some(kept) = self.kept.get(code as usize) {
            kept.get_or_init(|| self.histogram(code)).record(seconds);
        }
    }

    fn histogram(&self, code: Code) -> Histogram {
        let side = match self.side {
            Side::Server => "server",
            Side::Client => "client",
        };
        metrics::histogram!(
            names::GRPC_REQUEST_DURATION,
            names::LABEL_GRPC_SERVICE => self.service,
            names::LABEL_GRPC_METHOD => self.method,
            names::LABEL_GRPC_CODE => name(code),
            names::LABEL_SIDE => side,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        for (number, expected) in names::GRPC_CODES.iter().enumerate() {
            let code = Code::from_i32(i32::try_from(number).unwrap());
            // Tonic's own words for it, in another spelling.
            let spelled = format!("{code:?}").to_uppercase();
            assert_eq!((name(code), &*spelled), (*expected, &*expected.replace('_', "")));
        }
    }

    #[test]
    fn a_callers_own_fault_is_no_error_of_the_server() {
        for code in [Code::Ok, Code::Cancelled, Code::NotFound, Code::ResourceExhausted] {
            assert!(!is_server_error(code));
        }
        assert!(is_server_error(Code::Unavailable) && is_server_error(Code::DeadlineExceeded));
    }
}
