//! The gateways that deliver, and the ePRO service as `ctms` sees it.

use crate::{
    names,
    rules::{alert::Alert, proof::Proof},
    site,
};

pub fn all() -> Vec<Alert> {
    vec![gateway_breaker_open(), epro_breaker_open(), no_endpoint_up(), epro_refuses_key()]
}

/// One failing probe each scrape, and then well again.
const BREAKER_STORY: &str = "0x9 2x3 1 2x5 1 2x5 1 2x20 0x60";

fn breaker(job: &str, instance: &str, target: &str) -> String {
    format!("{}{{job=\"{job}\",instance=\"{instance}\",target=\"{target}\"}}", names::CIRCUIT_BREAKER_STATE)
}

fn gateway_breaker_open() -> Alert {
    let state = breaker(site::JOB, "a:9464", "sms");
    Alert::page(
        "GatewayBreakerOpen",
        "gateway",
        format!("{}{{job=\"{}\",target=~\"sms|push\"}} > 0", names::CIRCUIT_BREAKER_STATE, site::JOB),
    )
    .hold("5m")
    .when("the breaker before the SMS or push gateway has not closed for 5 min", "Nothing goes out over this channel. It closes by itself within a second of the gateway's return, so that five minutes are an outage; half-open is a probe on its way, not the end.")
    .says(
        "The {{ $labels.target }} gateway does not answer {{ $labels.instance }}",
        "The breaker has been open for five minutes: notifications are parked, synchronous ones get 503. Nothing is lost; they go out when the gateway returns, unless they expire.",
    )
    .see("gateways", "limits-resilience", "State of breakers")
    .proven(
        Proof::new(&[(&state, BREAKER_STORY)], ["9m", "30m", "60m"])
            .labels(&[("job", "epro-notify"), ("instance", "a:9464"), ("target", "sms")])
            .idle(&[(&state, "0x140")])
            .single(&[(&state, "0x9 2 1 0x140")]),
    )
}

fn epro_breaker_open() -> Alert {
    let state = breaker(site::CTMS_JOB, "c:9465", "epro");
    Alert::page(
        "EproBreakerOpen",
        "ctms",
        format!("{}{{job=\"{}\",target=\"epro\"}} > 0", names::CIRCUIT_BREAKER_STATE, site::CTMS_JOB),
    )
    .hold("2m")
    .when("ctms's breaker to the ePRO service has not closed for 2 min", "A restart of all instances at once is over in less. Reports come from memory, and are missing for whoever is not remembered.")
    .says(
        "ctms at {{ $labels.instance }} gets no answer from the ePRO service",
        "The breaker has been open for two minutes: reports are as old as memory, others get 503.",
    )
    .see("partners", "epro-rpc", "Breaker")
    .proven(
        Proof::new(&[(&state, BREAKER_STORY)], ["9m", "30m", "60m"])
            .labels(&[("job", "ctms"), ("instance", "c:9465"), ("target", "epro")])
            .idle(&[(&state, "0x140")])
            .single(&[(&state, "0x9 2 1 0x140")]),
    )
}

fn no_endpoint_up() -> Alert {
    let up = format!(
        "{}{{job=\"ctms\",instance=\"c:9465\",target=\"epro\",state=\"up\"}}",
        names::RPC_CLIENT_ENDPOINTS
    );
    Alert::page(
        "NoEndpointUp",
        "ctms",
        format!("{}{{job=\"{}\",state=\"up\"}} == 0", names::RPC_CLIENT_ENDPOINTS, site::CTMS_JOB),
    )
    .hold("1m")
    .when("ctms has found no healthy instance of the ePRO service for 1 min", "Probes come five times a second, and bring an instance back within two.")
    .says(
        "ctms at {{ $labels.instance }} finds no healthy instance of {{ $labels.target }}",
        "No endpoint has answered a probe for a minute. It is there or it is not: look at the ePRO service first.",
    )
    .see("partners", "epro-rpc", "Endpoints")
    .proven(
        Proof::new(&[(&up, "2x9 0x20 2x60")], ["9m", "20m", "50m"])
            .labels(&[("job", "ctms"), ("instance", "c:9465"), ("target", "epro"), ("state", "up")])
            .idle(&[(&up, "2x100")])
            .single(&[(&up, "2x9 0 2x100")]),
    )
}

fn epro_refuses_key() -> Alert {
    let refused = format!(
        "{}{{job=\"ctms\",instance=\"c:9465\",source=\"none\",reason=\"misconfigured\"}}",
        names::CTMS_REPORT_ANSWERS
    );
    let expr = format!(
        "sum by (job, instance) (increase({}{{reason=\"misconfigured\",job=\"{}\"}}[10m])) > 5",
        names::CTMS_REPORT_ANSWERS,
        site::CTMS_JOB
    );
    Alert::page("EproRefusesKey", "ctms", expr)
        .hold("5m")
        .when("the ePRO service has refused ctms's key more than five times in 10 min", "Every caller gets 502, and only a person can change the key. A key that is being replaced is refused for seconds.")
        .says(
            "The ePRO service does not let ctms at {{ $labels.instance }} in",
            "About {{ $value | humanize }} calls were refused within ten minutes: the key has no scope `read` there, or is not known.",
        )
        .see("partners", "epro-rpc", "Answers by source")
        .proven(
            Proof::new(&[(&refused, "0x9 10+10x40 410x60")], ["9m", "30m", "80m"])
                .labels(&[("job", "ctms"), ("instance", "c:9465")])
                .shown("100")
                .idle(&[(&refused, "0x140")])
                .single(&[(&refused, "0x9 1x140")])
        )
}
