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
    vec![accept_availability(), accept_latency(), delivery(&URGENT), delivery(&NORMAL), report_submission()]
}

/// The series of a metric of the ePRO service.
fn series(name: &str, matchers: &str) -> String {
    format!("{name}{{job=\"{}\",{matchers}}}", site::JOB)
}

/// The labels of a series as an instance tells it.
fn sample(status: &str) -> String {
    format!(
        "job=\"{}\",instance=\"a:9464\",method=\"POST\",route=\"/api/v1/notifications/sms/async\",status=\"{status}\"",
        site::JOB
    )
}

fn answered(status: &str) -> String {
    format!("{}_count{{{}}}", names::HTTP_REQUEST_DURATION, sample(status))
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
        least_failures: 10,
        why_so_many: "Callers try again, three times as a rule: ten failures are more than one caller's bad luck.",
        alert: "AcceptAvailability",
        harm: "Notifications are refused: callers have to keep them and try again.",
        panel: ("service-overview", "Burn rate"),
        sample: vec![(answered("202"), true, false), (answered("503"), false, true)],
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
        least_failures: 100,
        why_so_many: "Late is not lost: a slow disk with few callers can wait for the morning.",
        alert: "AcceptLatency",
        harm: "Callers wait for the accept: the disk or the processor does not keep up.",
        panel: ("service-overview", "Burn rate"),
        sample: vec![
            (format!("{}_count{{{}}}", names::HTTP_REQUEST_DURATION, sample("202")), true, true),
            (format!("{}_bucket{{{},le=\"0.1\"}}", names::HTTP_REQUEST_DURATION, sample("202")), true, false),
        ],
    }
}

/// What differs between the priorities that a delivery is promised for.
struct Delivery {
    name: &'static str,
    alert: &'static str,
    priority: &'static str,
    /// The bucket's edge, in seconds.
    within: &'static str,
    /// The same as it is scraped in the proof: one in each spelling.
    edge: &'static str,
    promise: &'static str,
    least_failures: u32,
    harm: &'static str,
}

const URGENT: Delivery = Delivery {
    name: "delivery-urgent",
    alert: "DeliveryUrgent",
    priority: "urgent",
    within: "60",
    edge: "60",
    promise: "an urgent notification is delivered within 60 s of due",
    least_failures: 5,
    harm: "Patients get urgent notifications late or never.",
};

const NORMAL: Delivery = Delivery {
    name: "delivery-normal",
    alert: "DeliveryNormal",
    priority: "normal",
    within: "300",
    edge: "300.0",
    promise: "a normal notification is delivered within 5 min of due",
    least_failures: 20,
    harm: "Patients get their notifications late or never.",
};

fn delivery(of: &Delivery) -> Slo {
    let priority = format!("priority=\"{}\"", of.priority);
    let end_to_end = |part: &str| format!("{}_{part}", names::NOTIFICATION_END_TO_END_DURATION);
    let finished =
        |outcome: &str| per_second(&series(names::NOTIFICATION_FINISHED, &format!("{priority},{outcome}")));
    let delivered = per_second(&series(&end_to_end("count"), &priority));
    // The plain text has `60`; OpenMetrics, and Prometheus from 3.0 on, `60.0`.
    let in_time = format!("{priority},le=~\"{}([.]0)?\"", of.within);
    let late =
        format!("clamp_min({delivered} - {}, 0)", per_second(&series(&end_to_end("bucket"), &in_time)));
    let sample = format!("job=\"{}\",instance=\"a:9464\",channel=\"sms\",{priority}", site::JOB);
    Slo {
        name: of.name,
        promise: of.promise,
        percent: "99",
        objective: 0.99,
        failures: format!("{}\n+ {late}", finished("outcome=~\"dead|expired|unknown\"")),
        events: finished("outcome!=\"cancelled\""),
        least_failures: of.least_failures,
        why_so_many: "A patient's devices are a job each: this is more than one patient without a phone.",
        alert: of.alert,
        harm: of.harm,
        panel: ("service-overview", "Burn rate"),
        // A failed one is late here.
        sample: vec![
            (format!("{}{{{sample},outcome=\"delivered\"}}", names::NOTIFICATION_FINISHED), true, true),
            (format!("{}{{{sample}}}", end_to_end("count")), true, true),
            (format!("{}{{{sample},le=\"{}\"}}", end_to_end("bucket"), of.edge), true, false),
        ],
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
    let answered = |status: &str| {
        format!("{}_count{{{}}}", names::HTTP_REQUEST_DURATION, sample(status))
            .replace("/api/v1/notifications/sms/async", REPORT_ROUTE)
    };
    let failed_call = format!(
        "{}_count{{job=\"{}\",instance=\"a:9464\",side=\"server\",grpc_method=\"SubmitReport\",grpc_code=\"UNAVAILABLE\"}}",
        names::GRPC_REQUEST_DURATION,
        site::JOB
    );
    let errors = format!("grpc_code=~\"{SERVER_ERRORS}\"");
    Slo {
        name: "report-submission",
        promise: "a patient's report is not refused through our fault",
        percent: "99.9",
        objective: 0.999,
        failures: format!("{}\n+ {}", http("status=~\"5..\""), grpc(&errors)),
        events: format!("{}\n+ {}", http("status!=\"429\""), grpc("grpc_code!=\"RESOURCE_EXHAUSTED\"")),
        least_failures: 10,
        why_so_many: "Callers try again, three times as a rule: ten failures are more than one caller's bad luck.",
        alert: "ReportSubmission",
        harm: "What patients report is refused, and may be lost to the study.",
        panel: ("service-overview", "Burn rate"),
        sample: vec![(answered("201"), true, false), (failed_call, false, true)],
    }
}
