//! The page of metrics of the whole program: what is there from the start, in which form, with which labels,
//! and that it is right after a scripted run.

use super::{
    metric_rules::{check, histograms},
    scene,
};
use crate::support::prelude::*;
use std::time::Duration;

const CHANNELS: [&str; 2] = ["sms", "push"];
const PRIORITIES: [&str; 3] = ["urgent", "normal", "bulk"];
const ENDS: [&str; 5] = ["delivered", "dead", "expired", "cancelled", "unknown"];

/// All series of ours that exist before anything happens, with 0, but for the label `store`.
fn from_the_start() -> Vec<String> {
    let each = |name: &str, label: &str, values: &[&str]| -> Vec<String> {
        values.iter().map(|value| format!("{name}{{{label}=\"{value}\"}}")).collect()
    };
    let refusals = ["invalid", "no_contact", "backlog_full", "store_unavailable", "shed"];
    let mut all = each("notification_refused_total", "reason", &refusals);
    for channel in CHANNELS {
        for outcome in ["delivered", "retry", "parked", "dead", "unknown"] {
            let labels = format!("channel=\"{channel}\",outcome=\"{outcome}\",provider=\"console\"");
            all.push(format!("notification_attempts_total{{{labels}}}"));
        }
        for priority in PRIORITIES {
            let pair = format!("channel=\"{channel}\"");
            all.push(format!("notification_accepted_total{{{pair},priority=\"{priority}\"}}"));
            all.extend(ENDS.map(|end| {
                format!("notification_finished_total{{{pair},outcome=\"{end}\",priority=\"{priority}\"}}")
            }));
        }
        all.push(format!("workers_busy{{channel=\"{channel}\"}}"));
    }
    for surface in ["http", "grpc"] {
        all.extend(["allowed", "limited"].map(|decision| {
            format!("rate_limit_decisions_total{{decision=\"{decision}\",surface=\"{surface}\"}}")
        }));
    }
    let nobodys = |outcome| format!("auth_requests_total{{key=\"none\",outcome=\"{outcome}\"}}");
    all.extend(["unknown_key", "forbidden", "ok"].map(nobodys));
    let states = ["accepted", "queued"].into_iter().chain(ENDS).collect::<Vec<_>>();
    all.extend(each("notification_ledger_jobs", "state", &states));
    all.extend(each("queue_jobs", "state", &["ready", "scheduled", "running"]));
    all.extend(each("queue_oldest_job_age_seconds", "priority", &PRIORITIES));
    all.extend(each("auth_key_file_reloads_total", "outcome", &["ok", "failed"]));
    all.extend(each("telemetry_spans_total", "outcome", &["exported", "failed", "dropped"]));
    all.extend(each("telemetry_log_lines_total", "outcome", &["dropped"]));
    let alone = [
        "queue_recovered_jobs_total",
        "telemetry_spans_ended_total",
        "telemetry_spans_queued",
        "http_requests_in_flight",
        "http_connections_timed_out_total",
        "rate_limit_clients",
    ];
    all.extend(alone.map(str::to_owned));
    all
}

/// The value of a series, written without its label `store`.
fn value(page: &Page, wanted: &str) -> Option<f64> {
    let name = wanted.split('{').next().unwrap_or_default();
    let found = page.of(name).find(|sample| {
        let mut sample = (*sample).clone();
        sample.labels.retain(|(label, _)| label != "store");
        sample.series() == wanted
    });
    found.map(|sample| sample.value)
}

#[test]
fn every_outcome_and_gauge_is_there_with_0_before_anything_happens() {
    let service = Site::new().start();
    let page = service.metrics();
    check(&page);
    for series in from_the_start() {
        assert_eq!(value(&page, &series), Some(0.0), "{series}\n{}", page.text);
    }
    for (series, least) in [
        ("workers{channel=\"sms\"}", 32.0),
        ("workers{channel=\"push\"}", 32.0),
        ("store_up", 1.0),
        ("store_free_bytes", 1.0),
        ("telemetry_log_lines_total{outcome=\"written\"}", 1.0),
        ("process_resident_memory_bytes", 1.0),
        ("process_open_fds", 1.0),
        ("process_start_time_seconds", 1.0),
        ("tokio_workers_count", 1.0),
        ("tokio_live_tasks_count", 1.0),
    ] {
        assert!(value(&page, series).is_some_and(|value| value >= least), "{series}\n{}", page.text);
    }
    let build = page.of("build_info").next().unwrap();
    let labels: Vec<&str> = build.labels.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(
        (labels.as_slice(), build.value),
        (&["commit", "platform_version", "rustc", "version"][..], 1.0)
    );
}

#[test]
fn the_page_is_right_after_a_busy_run_and_has_every_histogram() {
    let (gateway, _tap, site) = scene::site();
    let service = site.start();
    let asked = scene::play(&service, &gateway).asked;
    // What is committed is counted a moment later: all but what waits for its time, and the replayed one twice.
    let page = until("every end is counted", || {
        let page = service.counted();
        let accepted = page.ledger().of("accepted");
        (page.sum("notification_finished_total", &[]) == accepted).then_some(page)
    });
    check(&page);
    let elsewhere = |name: &&str| name.starts_with("grpc_") || name.contains("preview");
    for name in histograms().into_iter().filter(|name| !elsewhere(name)) {
        assert!(page.types.get(name).is_some_and(|kind| kind == "histogram"), "{name}\n{}", page.text);
    }
    let answered = |status: u16| asked.iter().filter(|asked| asked.answer.status == status).count() as u64;
    // What a synchronous call accepts is counted as well: delivered, dead and unknown, once each.
    let accepted = answered(202) - 1 + 3;
    let ledger = page.ledger();
    assert_eq!(page.sum("notification_accepted_total", &[]), accepted);
    assert_eq!(ledger.of("accepted"), accepted, "{}", page.text);
    assert_eq!(["queued", "dead", "cancelled", "unknown"].map(|state| ledger.of(state)), [1; 4]);
    for state in ENDS {
        // The one that was replayed was dead first, and is delivered now.
        let finished = page.sum("notification_finished_total", &[("outcome", state)]);
        assert_eq!(finished, ledger.of(state) + u64::from(state == "dead"), "{state}\n{}", page.text);
    }
    assert_eq!(page.sum("queue_jobs", &[("state", "scheduled")]), 1);
    // 413 is refused before anybody knows that it would be a notification.
    for (reason, count) in [("invalid", 3), ("no_contact", 1), ("backlog_full", 1)] {
        assert_eq!(
            page.sum("notification_refused_total", &[("reason", reason)]),
            count,
            "{reason}\n{}",
            page.text
        );
    }
    for status in [201, 202, 404, 405, 413, 415, 422, 502, 503, 504] {
        let counted = page.sum("http_request_duration_seconds_count", &[("status", &status.to_string())]);
        assert_eq!(counted, answered(status), "{status}\n{}", page.text);
    }
}

#[test]
fn gauges_of_the_queue_show_what_waits_what_runs_and_for_how_long() {
    let (_gateway, _site, service) = stuck("retry");
    let oldest = |page: &Page, priority| page.sum("queue_oldest_job_age_seconds", &[("priority", priority)]);
    let aged = until("the oldest is a second old", || {
        Some(service.metrics()).filter(|page| oldest(page, "normal") >= 1)
    });
    let found = ["ready", "running", "scheduled"].map(|state| aged.sum("queue_jobs", &[("state", state)]));
    assert_eq!(found, [3, 2, 0], "{}", aged.text);
    let workers = |metric| aged.sum(metric, &[("channel", "sms")]);
    assert_eq!((workers("workers_busy"), workers("workers")), (2, 2));
    assert_eq!(oldest(&aged, "urgent"), 0);
    assert_eq!(aged.ledger().of("queued"), 5);
}

#[test]
fn metrics_of_a_store_carry_its_id_which_outlives_a_restart() {
    let site = Site::new();
    let ids = || {
        let service = site.start();
        service.accept();
        service.until_drained();
        let page = service.metrics();
        let of_a_store = |name: &str| {
            name.starts_with("queue_") || name.starts_with("store_") || name == "notification_ledger_jobs"
        };
        let all = page.samples.iter().filter(|sample| of_a_store(&sample.name));
        let mut ids: Vec<_> =
            all.map(|sample| sample.label("store").unwrap_or_default().to_owned()).collect();
        ids.dedup();
        service.stop();
        ids
    };
    let (before, after) = (ids(), ids());
    assert!(before.len() == 1 && !before[0].is_empty(), "{before:?}");
    assert_eq!(before, after);
    let other = Site::new().start();
    assert_ne!(other.metrics().of("store_up").next().unwrap().label("store"), Some(&*before[0]));
}

/// Methods, paths, headers and bodies of whoever wants to fill a registry.
#[test]
fn hostile_requests_add_no_label_value_of_their_own() {
    let service = Site::new().start();
    for number in 0..50 {
        for (method, path) in [
            (format!("BREW{number}"), ASYNC.to_owned()),
            ("GET".to_owned(), format!("/nowhere-{number}")),
            ("GET".to_owned(), format!("/api/v1/patients/hostile-{number}?hostile={number}")),
            ("GET".to_owned(), format!("/api/v1/notifications/hostile{number}")),
            ("TRACE".to_owned(), format!("//{number}/%00/../{{id}}")),
            ("OPTIONS".to_owned(), format!("/api/v1/dead-letters/{number}/replay")),
        ] {
            service.ask_with(&method, &path, &[("x-forwarded-for", &number.to_string())], "");
            service.admin(&method, &path, "");
        }
        service.ask(
            "POST",
            ASYNC,
            &format!(r#"{{"patientId":"p","message":"x","priority":"hostile{number}"}}"#),
        );
    }
    service.ask("POST", ASYNC, MESSAGE);
    service.until_drained();
    let page = service.metrics();
    check(&page);
    let requests = page.of("http_request_duration_seconds_count");
    assert!(requests.count() < 15, "{}", page.text);
}

#[test]
fn the_page_answers_while_requests_hang() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway).with("APP_SMS__HTTP__TIMEOUT", "20s");
    let service = site.start_with_patient();
    let (http, _) = (service.http, service.admin);
    let callers: Vec<_> =
        (0..20).map(|_| std::thread::spawn(move || ask(http, "POST", SYNC, MESSAGE))).collect();
    until_so("they hang", || service.metrics().sum("http_requests_in_flight", &[]) == 20);
    let begun = std::time::Instant::now();
    check(&service.metrics());
    assert!(begun.elapsed() < Duration::from_secs(5));
    service.kill();
    callers.into_iter().for_each(|caller| assert!(caller.join().unwrap().is_err()));
}
