//! The symptoms: what share of reminders arrives, how late, and what comes in and is given up.

use super::{accepts, attempt_lines, attempts};
use crate::{
    names,
    palette::Colour,
    panel::{Kind, Panel},
    query::{increase, max_by, quantile, rate, series, share, sum_by},
    services::SERVICE,
};

/// Seconds within which 99 % of urgent notifications are delivered, from when they are due.
const URGENT: f64 = 60.0;
/// The same of normal ones.
const NORMAL: f64 = 300.0;
/// Share that the objectives promise.
const OBJECTIVE: f64 = 0.99;
/// Attempts after which nothing more is tried by itself.
const GIVEN_UP: &str = r#"fields_status=~"dead|unknown|expired""#;

pub fn symptoms() -> Vec<Panel> {
    let mut panels = vec![delivered(), in_time(), dead(), unknown(), ledger()];
    panels.extend([
        latency("urgent", Some(URGENT), "Objective: 99 % within 60 s (dashed)."),
        latency("normal", Some(NORMAL), "Objective: 99 % within 5 min (dashed)."),
        latency("bulk", None, "No objective: bulk waits for the others, and is shed first."),
    ]);
    panels
}

pub fn flow() -> Vec<Panel> {
    vec![accepted(), refused(), given_up()]
}

fn delivered() -> Panel {
    let finished =
        |outcome: &str| sum_by("", &rate(names::NOTIFICATION_FINISHED, &format!("outcome{outcome}")));
    Panel::new(
        Kind::Stat,
        "Delivered of finished",
        "percentunit",
        "The share of finished notifications, cancelled ones aside, that a gateway took. Normal: above 99 %. Below: \
         What was given up says what became of the others, Attempts by outcome why.",
    )
    .query(share(&finished(r#"="delivered""#), &finished(r#"!="cancelled""#)), "delivered")
    .warn_below(OBJECTIVE)
    .bad_below(0.95)
    .range(Some(0.0), Some(1.0))
    .no_value("nothing finished")
    .traces("Attempts that ended dead", attempts().tag("outcome", "dead"))
    .logs("Attempts that gave up", &[SERVICE], &attempt_lines(GIVEN_UP))
}

fn in_time() -> Panel {
    let objective =
        |name: &str| format!(r#"1 - max(slo:sli_error:ratio_rate1h{{sloth_slo="delivery-{name}"}})"#);
    Panel::new(
        Kind::Stat,
        "In time within the last hour",
        "percentunit",
        "The objectives: 99 % of urgent notifications within 60 s and of normal ones within 5 min of due, out of all \
         that finished but were not cancelled. Recorded by Prometheus' rules for the whole service, whatever job and \
         instance are chosen. What never finishes is not in it: see Oldest due job.",
    )
    .query(objective("urgent"), "urgent, 60 s")
    .query(objective("normal"), "normal, 5 min")
    .warn_below(0.995)
    .bad_below(OBJECTIVE)
    .range(Some(0.0), Some(1.0))
    .no_value("no recorded objective")
    .size(8, 4)
    .traces("Attempts that failed", attempts().failed())
    .logs("Attempts that gave up", &[SERVICE], &attempt_lines(GIVEN_UP))
}

fn dead() -> Panel {
    Panel::new(
        Kind::Stat,
        "Dead letters",
        "locale",
        "Notifications that are dead, all in all: refused for good, or out of attempts. Normal: it does not grow. Each \
         has its reason in GET /api/v1/dead-letters and can be replayed, which takes it off this count.",
    )
    .query(max_by("", &series(names::NOTIFICATION_LEDGER_JOBS, r#"state="dead""#)), "dead")
    .warn_from(1.0)
    .decimals(0)
    .traces("Attempts that ended dead", attempts().tag("outcome", "dead"))
    .logs("Attempts that ended dead", &[SERVICE], &attempt_lines(r#"fields_status="dead""#))
}

fn unknown() -> Panel {
    Panel::new(
        Kind::Stat,
        "Unknown, wait for a person",
        "locale",
        "Notifications of which nobody knows whether they arrived: the gateway was silent after it had the request. \
         Somebody has to decide: GET /api/v1/dead-letters?status=unknown lists them; resolve or replay each. Normal: 0.",
    )
    .query(max_by("", &series(names::NOTIFICATION_LEDGER_JOBS, r#"state="unknown""#)), "unknown")
    .warn_from(1.0)
    .decimals(0)
    .traces("Attempts that ended unknown", attempts().tag("outcome", "unknown"))
    .logs("Attempts that ended unknown", &[SERVICE], &attempt_lines(r#"fields_status="unknown""#))
}

fn ledger() -> Panel {
    let jobs = |state: &str| {
        sum_by("job, instance", &series(names::NOTIFICATION_LEDGER_JOBS, &format!("state{state}")))
    };
    Panel::new(
        Kind::Stat,
        "Ledger: unaccounted for",
        "locale",
        "Accepted minus the sum of delivered, dead, expired, cancelled, unknown and queued, of the instance where it \
         is furthest from 0. It is exact in every scrape: anything but 0 means that a notification was lost or counted \
         twice. That is a defect: keep a copy of the store, and see the table of the ledger below.",
    )
    .query(
        max_by("", &format!("abs({} - {})", jobs(r#"="accepted""#), jobs(r#"!="accepted""#))),
        "unaccounted for",
    )
    .bad_from(1.0)
    .decimals(0)
    .traces("Accepts", accepts())
    .logs("Lines about the ledger", &[SERVICE], r#"|= "ledger""#)
}

fn latency(priority: &str, objective: Option<f64>, promise: &str) -> Panel {
    let of = |q: f64| {
        let matchers = format!(r#"priority="{priority}""#);
        quantile(q, "", names::NOTIFICATION_END_TO_END_DURATION, &matchers)
    };
    let description = format!(
        "From due (accepted, or sendAt where that is later) to delivered, of {priority} notifications; on a scale of \
         powers of ten. {promise} Normal: under a second. Above: Oldest due job and Workers if it waits for us, Attempt \
         duration if it waits for a gateway, Attempts by outcome if it is tried again."
    );
    let title = format!("Due to delivered, {priority}");
    let panel = Panel::new(Kind::TimeSeries, &title, "s", &description)
        .latency(of(0.99), "P99")
        .query(of(0.95), "P95")
        .query(of(0.5), "P50")
        .log_scale()
        .traces("Deliveries of this priority", attempts().tag("priority", priority))
        .logs("Attempts that did not deliver", &[SERVICE], &attempt_lines(r#"fields_outcome!="delivered""#));
    match objective {
        Some(seconds) => panel.limit(seconds, "objective"),
        None => panel,
    }
}

fn accepted() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Accepted",
        "cps",
        "Notifications a second whose acceptance is committed, by channel and priority; one for each device, and for \
         each patient of a study. What normal is depends on the callers: a fall to 0 is theirs, or is refused.",
    )
    .query(sum_by("channel, priority", &rate(names::NOTIFICATION_ACCEPTED, "")), "{{channel}} {{priority}}")
    .stacked()
    .colour("push urgent", Colour::Third)
    .colour("push normal", Colour::Fact)
    .colour("push bulk", Colour::Second)
    .colour("sms urgent", Colour::Fourth)
    .colour("sms normal", Colour::Fifth)
    .colour("sms bulk", Colour::Sixth)
    .traces("Accepts", accepts())
    .logs("Accepts", &[SERVICE], r#"| json | fields_route=~".*/notifications.*" | fields_status=202"#)
    .dashboard("Service overview: who calls", "service-overview")
}

fn refused() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Refused by reason",
        "cps",
        "Notifications a second that were not accepted. invalid and no_contact are the caller's to mend. The others are \
         ours: backlog_full (see What waits), store_unavailable (see Commit duration), shed (overload, or the gateway of \
         a synchronous send is away: see Limits and resilience). Normal: 0 but for some invalid ones.",
    )
    .query(sum_by("reason", &rate(names::NOTIFICATION_REFUSED, "")), "{{reason}}")
    .stacked()
    .colour("invalid", Colour::Waiting)
    .colour("no_contact", Colour::Second)
    .colour("shed", Colour::Unknown)
    .colour("backlog_full", Colour::Refused)
    .colour("store_unavailable", Colour::Failed)
    .traces("Accepts that failed", accepts().failed())
    .logs(
        "Refused requests",
        &[SERVICE],
        r#"| json | fields_route=~".*/notifications.*" | fields_status=~"4..|503""#,
    )
    .dashboard("Limits and resilience", "limits-resilience")
}

fn given_up() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "What was given up",
        "short",
        "Notifications that finished without being delivered, for each step of the graph. dead: refused for good or \
         out of attempts. expired: notAfter came first, so it waited too long. unknown: nobody can tell, a person \
         decides. cancelled: the caller's wish. Normal: next to none.",
    )
    .query(
        sum_by("outcome", &increase(names::NOTIFICATION_FINISHED, r#"outcome!="delivered""#)),
        "{{outcome}}",
    )
    .traces("Attempts that failed", attempts().failed())
    .logs("Attempts that gave up", &[SERVICE], &attempt_lines(GIVEN_UP))
}
