//! The attempts: what the gateways answer, how long they take, and how many workers that holds.

use super::{attempt_lines, attempts};
use crate::{
    domain::quantiles_of_two,
    names,
    panel::{Kind, Panel},
    query::{quantile, rate, series, share, sum_by},
    services::SERVICE,
};

/// Attempts that did not deliver.
const IN_VAIN: &str = r#"fields_outcome!="delivered""#;

pub fn panels() -> Vec<Panel> {
    vec![outcomes(), in_vain(), duration(), workers()]
}

fn outcomes() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Attempts by outcome",
        "cps",
        "Finished attempts a second. retry: the gateway failed or could not be reached, and it is tried again. parked: \
         not called at all, since the breaker is open or the gateway asked to wait; no attempt is spent. dead: refused \
         for good. unknown: sent, and no answer came. Normal: delivered alone. Lines of attempts have the reason.",
    )
    .query(sum_by("outcome", &rate(names::NOTIFICATION_ATTEMPTS, "")), "{{outcome}}")
    .stacked()
    .size(6, 8)
    .traces("Attempts that failed", attempts().failed())
    .logs("Attempts that did not deliver", &[SERVICE], &attempt_lines(IN_VAIN))
    .dashboard("Breakers: Limits and resilience", "limits-resilience")
}

fn in_vain() -> Panel {
    let all = sum_by("channel, provider", &rate(names::NOTIFICATION_ATTEMPTS, ""));
    let others = sum_by("channel, provider", &rate(names::NOTIFICATION_ATTEMPTS, r#"outcome!="delivered""#));
    Panel::new(
        Kind::TimeSeries,
        "Attempts in vain, by provider",
        "percentunit",
        "The share of a provider's attempts that did not deliver: tried again, parked or given up. Normal: 0. One provider alone: that \
         gateway. All of them: our network, or a message that they all refuse.",
    )
    .query(share(&others, &all), "{{channel}} {{provider}}")
    .range(Some(0.0), Some(1.0))
    .warn_from(0.1)
    .size(6, 8)
    .traces("Attempts that failed", attempts().failed())
    .logs("Attempts that did not deliver", &[SERVICE], &attempt_lines(IN_VAIN))
}

fn duration() -> Panel {
    let of = |q| quantile(q, "channel, provider", names::NOTIFICATION_ATTEMPT_DURATION, "");
    let panel = Panel::new(
        Kind::TimeSeries,
        "Attempt duration, by provider",
        "s",
        "How long calls to a gateway take, until it answers or time is up, on a scale of powers of ten. Normal: what that gateway promises. Calls \
         longer than four fifths of the time-out (5 s where nothing else is set) count as failed for its breaker. The \
         longer they take, the more Workers are busy.",
    )
    .latency(of(0.99), "{{channel}} {{provider}} P99")
    .query(of(0.95), "{{channel}} {{provider}} P95")
    .query(of(0.5), "{{channel}} {{provider}} P50")
    .log_scale()
    .size(6, 8)
    .traces("Slow attempts", attempts().at_least("1s"))
    .logs("Slow attempts", &[SERVICE], &attempt_lines("fields_duration_ms > 1000"));
    quantiles_of_two(panel, "push", "sms")
}

fn workers() -> Panel {
    Panel::new(
        Kind::TimeSeries,
        "Workers",
        "short",
        "Attempts in flight, and how many there may be (dashed). Normal: far below. At the limit, what is due waits: \
         either the gateway is slow, see Attempt duration, or more workers are needed (APP_QUEUE__WORKERS).",
    )
    .query(sum_by("", &series(names::WORKERS_BUSY, "")), "busy")
    .query(sum_by("", &series(names::WORKERS, "")), "limit")
    .limit_line("limit")
    .size(6, 8)
    .traces("Slow attempts", attempts().at_least("1s"))
    .logs("Slow attempts", &[SERVICE], &attempt_lines("fields_duration_ms > 1000"))
}
