//! The service level objectives. `ctms` has none of its own.
//!
//! What the rate limit refuses is no event: it says nothing of the service, and a flood of it would hide
//! failures. A histogram appears with its first use, and `rate` does not see a series' first value, so no
//! formula below takes a histogram's count from a counter: on a new instance that difference would be a
//! failure that never was.

use crate::{
    names,
    rules::slo::{Slo, per_second},
    site,
};

/// What takes notifications to be delivered later; what delivers while the caller waits fails with the gateway.
const ACCEPT_ROUTES: &str =
    "/api/v1/notifications/sms/async|/api/v1/notifications/push/async|/api/v1/studies/.+/notifications";
/// The accepts of one notification: that of a study takes as long as the study is large.
const SINGLE_ACCEPT_ROUTES: &str = "/api/v1/notifications/sms/async|/api/v1/notifications/push/async";
const REPORT_ROUTE: &str = "/api/v1/reports";
/// What is our fault over gRPC.
const SERVER_ERRORS: &str = "UNAVAILABLE|INTERNAL|DEADLINE_EXCEEDED|UNKNOWN|DATA_LOSS";

pub fn all() -> Vec<Slo> {
    vec![
        accept_availability(),
        accept_latency(),
        delivery("delivery-urgent", "urgent", "60", "1 min", 5),
        delivery("delivery-normal", "normal", "300", "5 min", 20),
        report_submission(),
    ]
}

/// The series of a metric of the ePRO service.
fn series(name: &str, matchers: &str) -> String {
    format!("{name}{{job=\"{}\",{matchers}}}", site::JOB)
}

fn accept_availability() -> Slo {
    let requests = |status: &str| {
        let matchers = format!("method=\"POST\",route=~\"{ACCEPT_ROUTES}\",{status}");
        per_second(&series(&format!("{}_count", names::HTTP_REQUEST_DURATION), &matchers))
    };
    Slo {
        name: "accept-availability",
        promise: "a notification to be delivered is not refused with a 5xx",
        percent: "99.9",
        objective: 0.999,
        failures: requests("status=~\"5..\""),
        events: requests("status!=\"429\""),
        // Callers try again, three times as a rule: ten are more than one caller's bad luck.
        least_failures: 10,
    }
}

fn accept_latency() -> Slo {
    let matchers = format!("method=\"POST\",route=~\"{SINGLE_ACCEPT_ROUTES}\",status=\"202\"");
    let all = per_second(&series(&format!("{}_count", names::HTTP_REQUEST_DURATION), &matchers));
    let bucket = format!("{}_bucket", names::HTTP_REQUEST_DURATION);
    let fast = per_second(&series(&bucket, &format!("{matchers},le=\"0.1\"")));
    Slo {
        name: "accept-latency",
        promise: "a notification to one patient is accepted within 100 ms",
        percent: "99",
        objective: 0.99,
        failures: format!("clamp_min({all} - {fast}, 0)"),
        events: all,
        // Late is not lost: a slow disk at night with few callers can wait for the morning.
        least_failures: 100,
    }
}

fn delivery(
    name: &'static str,
    priority: &str,
    seconds: &str,
    within: &'static str,
    least_failures: u32,
) -> Slo {
    let finished = |outcome: &str| {
        per_second(&series(names::NOTIFICATION_FINISHED, &format!("priority=\"{priority}\",{outcome}")))
    };
    let delivered = |part: &str, edge: &str| {
        let name = format!("{}_{part}", names::NOTIFICATION_END_TO_END_DURATION);
        per_second(&series(&name, &format!("priority=\"{priority}\"{edge}")))
    };
    let late = format!(
        "clamp_min({} - {}, 0)",
        delivered("count", ""),
        // The plain text has `60`; OpenMetrics, and Prometheus from 3.0 on, `60.0`.
        delivered("bucket", &format!(",le=~\"{seconds}([.]0)?\""))
    );
    Slo {
        name,
        promise: match within {
            "1 min" => "an urgent notification is delivered within 60 s of due",
            _ => "a normal notification is delivered within 5 min of due",
        },
        percent: "99",
        objective: 0.99,
        failures: format!("{}\n+ {late}", finished("outcome=~\"dead|expired|unknown\"")),
        events: finished("outcome!=\"cancelled\""),
        // One patient with several devices is several jobs.
        least_failures,
    }
}

fn report_submission() -> Slo {
    let http = |status: &str| {
        let matchers = format!("method=\"POST\",route=\"{REPORT_ROUTE}\",{status}");
        per_second(&series(&format!("{}_count", names::HTTP_REQUEST_DURATION), &matchers))
    };
    let grpc = |code: &str| {
        let matchers = format!("side=\"server\",grpc_method=\"SubmitReport\",{code}");
        per_second(&series(&format!("{}_count", names::GRPC_REQUEST_DURATION), &matchers))
    };
    let errors = format!("grpc_code=~\"{SERVER_ERRORS}\"");
    Slo {
        name: "report-submission",
        promise: "a patient's report is not refused through our fault",
        percent: "99.9",
        objective: 0.999,
        failures: format!("{}\n+ {}", http("status=~\"5..\""), grpc(&errors)),
        events: format!("{}\n+ {}", http("status!=\"429\""), grpc("grpc_code!=\"RESOURCE_EXHAUSTED\"")),
        least_failures: 10,
    }
}
