//! *ePRO and RPC*: whether patients' reports are kept and can be read by the second service, and if not, on
//! which side of the call it fails. Rows lead from the symptom to the cause.

mod answers;
mod caller;
mod calls;
mod submissions;

use crate::{
    dashboard::{Dashboard, Row},
    links::Traces,
    services::SERVICE,
};

/// The second service: its `job`, and its `service.name`.
const CTMS: &str = "ctms";
/// What it calls.
const READ: &str = "epro.v1.EproService/GetLatestReport";
/// Codes that say that something failed; the others answer the question.
const BAD: &str = r#"grpc_code=~"UNAVAILABLE|INTERNAL|DEADLINE_EXCEEDED|UNKNOWN|DATA_LOSS""#;
/// Calls of ours: not probes, nor reflection.
const OURS: &str = r#"grpc_service!~"grpc[.].*""#;

pub fn dashboard() -> Dashboard {
    Dashboard {
        uid: "epro-rpc",
        title: "ePRO and RPC",
        description: "Whether patients' reports are kept and can be read by ctms over gRPC: submissions, receipts, \
            calls seen from both sides, the caller's breaker, retries and memory.",
        rows: vec![
            Row { title: "Are reports kept, and can they be read?", panels: submissions::symptoms() },
            Row { title: "Submitting over HTTP and gRPC", panels: submissions::panels() },
            Row { title: "Calls, from both sides", panels: calls::panels() },
            Row { title: "How the caller protects itself and the other side", panels: caller::panels() },
            Row { title: "What ctms answers, and remembers", panels: answers::panels() },
        ],
    }
}

/// Calls as the caller made them: an attempt is a span with its number.
fn called() -> Traces {
    Traces::of(CTMS).operation(READ)
}

/// Calls as the other side answered them.
fn served() -> Traces {
    Traces::of(SERVICE).operation(READ)
}

/// Submissions over HTTP.
fn submitted() -> Traces {
    Traces::of(SERVICE).operation("POST /api/v1/reports")
}

/// Questions to the second service.
fn asked() -> Traces {
    Traces::of(CTMS).operation("GET /api/v1/patients/{patientId}/latest-report")
}
