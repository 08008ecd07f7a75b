//! The symptoms, and how reports come in.

use super::{BAD, CTMS, OURS, asked, called, submitted};
use crate::{
    links::Traces,
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, quantile, rate, share, share_or_zero, sum_by},
    services::{SERVICE, SERVICES},
};

/// HTTP routes that write or read reports, of both services.
const ROUTES: &str = r#"route=~".*report.*""#;
const LINES: &str = r#"| json | message="request" | fields_route=~".*report.*""#;
/// Share of submissions that the objective promises not to fail through our fault.
const OBJECTIVE: f64 = 0.999;

pub fn symptoms() -> Vec<Panel> {
    vec![stored(), objective(), sources(), errors()]
}

pub fn panels() -> Vec<Panel> {
    vec![submissions(), receipts(), statuses(), latency(), previews()]
}

fn failed_lines() -> String {
    format!("{LINES} | fields_status >= 400")
}

fn stored() -> Panel {
    let reports = |matchers: &str| sum_by("", &rate(names::REPORT_SUBMISSION, matchers));
    Panel::new(
        Kind::Stat,
        "Stored of submitted",
        "percentunit",
        "The share of submitted reports that were stored. The others were rejected: by us, or as what they were not \
         allowed to be (empty, too long). What normal is depends on the callers; the objective beside it counts our fault alone.",
    )
    .query(share(&reports(r#"outcome="success""#), &reports("")), "stored")
    .range(Some(0.0), Some(1.0))
    .no_value("nothing submitted")
    .size(5, 4)
    .traces("Submissions that failed", submitted().failed())
    .logs("Submissions that failed", &[SERVICE], &failed_lines())
}

fn objective() -> Panel {
    let bad = r#"max(slo:sli_error:ratio_rate1h{sloth_slo="report-submission"})"#;
    Panel::new(
        Kind::Stat,
        "Not our fault, last hour",
        "percentunit",
        "The objective: 99.9 % of submissions, over HTTP and gRPC, are not refused through our fault (5xx, or a code that \
         says that we failed). Recorded by Prometheus' rules for the whole service, whatever job and instance are chosen.",
    )
    .query(format!("1 - {bad}"), "submissions")
    .warn_below(0.9995)
    .bad_below(OBJECTIVE)
    .range(Some(0.0), Some(1.0))
    .no_value("no recorded objective")
    .size(5, 4)
    .traces("Submissions that failed", submitted().failed())
    .logs("Submissions that we failed", &[SERVICE], &format!("{LINES} | fields_status >= 500"))
}

fn sources() -> Panel {
    let of = |source: &str| {
        let answers = |matchers: &str| sum_by("", &rate(names::CTMS_REPORT_ANSWERS, matchers));
        share(&answers(&format!(r#"source="{source}""#)), &answers(""))
    };
    Panel::new(
        Kind::Stat,
        "Where ctms has its answers from",
        "percentunit",
        "Shares of the questions for a latest report: asked live, out of ctms' memory (stale, since the ePRO service did \
         not answer), and none (503). Normal: all live. Otherwise Answers by source says why.",
    )
    .query(of("live"), "live")
    .query(of("cache"), "memory")
    .query(of("none"), "none")
    .range(Some(0.0), Some(1.0))
    .no_value("nobody asked")
    .size(9, 4)
    .traces("Questions that failed", asked().failed())
    .logs("Questions that failed", &[CTMS], &failed_lines())
}

fn errors() -> Panel {
    let count = format!("{}_count", names::GRPC_REQUEST_DURATION);
    let of = |side: &str| {
        let calls = |more: &str| sum_by("", &rate(&count, &format!(r#"{OURS},side="{side}"{more}"#)));
        share_or_zero(&calls(&format!(",{BAD}")), &calls(""))
    };
    Panel::new(
        Kind::Stat,
        "gRPC errors",
        "percentunit",
        "The share of calls that failed, as their caller and as their server saw it. NOT_FOUND and INVALID_ARGUMENT are \
         answers. Normal: 0. The caller sees more than the server: connections break, or time runs out on the way.",
    )
    .query(of("client"), "caller")
    .query(of("server"), "server")
    .warn_from(0.001)
    .bad_from(0.01)
    .range(Some(0.0), Some(1.0))
    .no_value("no calls")
    .size(5, 4)
    .traces("Calls that failed", called().failed())
    .logs("Calls that failed", SERVICES, &format!(r#"| json | {}"#, BAD.replace("grpc_code", "fields_grpc_code")))
}

fn submissions() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Submissions",
        "cps",
        "Reports a second that were stored (success) or rejected (failure), by where they came in. A repeat with the same \
         key is neither. Normal: success alone, and a few failures of callers who send what is not allowed.",
    )
    .query(sum_by("source, outcome", &rate(names::REPORT_SUBMISSION, "")), "{{source}}: {{outcome}}")
    .stacked()
    .colour("http: success", Colour::Good)
    .colour("grpc: success", Colour::Fact)
    .colour("http: failure", Colour::Failed)
    .colour("grpc: failure", Colour::Refused)
    .traces("Submissions", submitted())
    .logs("Submissions that failed", &[SERVICE], &failed_lines())
}

fn statuses() -> Panel {
    let count = format!("{}_count", names::HTTP_REQUEST_DURATION);
    Panel::new(
        Kind::TimeSeries,
        "HTTP answers about reports",
        "reqps",
        "Requests a second that write or read reports over HTTP, of both services, by status. Normal: 200 and 201, and \
         404 where a patient has no report. 429 is the rate limit, 503 overload, the store, or ctms without an answer.",
    )
    .query(sum_by("status", &rate(&count, ROUTES)), "{{status}}")
    .stacked()
    .traces("Submissions that failed", submitted().failed())
    .logs("Requests that failed", SERVICES, &failed_lines())
}

fn latency() -> Panel {
    let of = |q: f64| quantile(q, "method, route", names::HTTP_REQUEST_DURATION, ROUTES);
    Panel::new(
        Kind::TimeSeries,
        "HTTP duration about reports, P99",
        "s",
        "The time that 99 % of these requests stay below, by route, on a scale of powers of ten. A submission waits for a \
         commit, what ctms answers for the call beside. Normal: below 0.1 s (dashed).",
    )
    .latency(of(0.99), "{{method}} {{route}}")
    .log_scale()
    .limit(0.1, "slow")
    .size(12, 8)
    .traces("Slow submissions", submitted().at_least("100ms"))
    .logs("Slow requests", SERVICES, &format!("{LINES} | fields_duration_ms > 100"))
}

fn receipts() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Receipts",
        "cps",
        "What became of the receipts of stored reports: queued in the same commit, or why there is none. Without one \
         the report is stored all the same. Normal: queued, and no_contact of patients who have none. Otherwise see \
         What waits in Notifications.",
    )
    .query(sum_by("outcome", &rate(names::REPORT_RECEIPTS, "")), "{{outcome}}")
    .stacked()
    .colour("queued", Colour::Good)
    .colour("no_contact", Colour::Waiting)
    .colour("backlog_full", Colour::Refused)
    .colour("shed", Colour::Unknown)
    .colour("store_unavailable", Colour::Failed)
    .axis_to(0.1)
    .traces("Submissions", submitted())
    .logs("Submissions", &[SERVICE], LINES)
    .dashboard("Notifications", "notifications")
}

fn previews() -> Panel {
    let of = |q| quantile(q, "", names::REPORT_PREVIEW_DURATION, "");
    let shed = sum_by("", &increase(names::LOAD_SHED, r#"feature="report_preview""#));
    let traces = Traces::of(SERVICE).operation("GET /api/v1/reports/{reportId}/preview.pdf");
    Panel::new(
        Kind::TimeSeries,
        "Drawing previews",
        "s",
        "How long drawing a report as PDF takes, without the wait for a place; and (right) how many were refused with \
         503, since previews are the first to go when there is too much to do or all places for drawing are taken. \
         Normal: milliseconds for a page, and none refused.",
    )
    .latency(of(0.99), "P99")
    .query(of(0.95), "P95")
    .query(of(0.5), "P50")
    .query(shed, "shed")
    .right_axis("shed", "short")
    .colour("shed", Colour::Refused)
    .size(12, 8)
    .traces("Slow previews", traces.at_least("100ms"))
    .logs("Previews", &[SERVICE], r#"| json | fields_route=~".*preview.pdf""#)
    .dashboard("Limits and resilience", "limits-resilience")
}
