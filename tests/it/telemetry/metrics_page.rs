//! The page of metrics of the whole program: what is there from the start, in which form, with which labels,
//! and that it is right after a scripted run.

use super::{
    metric_rules::{check, histograms},
    scene,
};
use crate::support::prelude::*;
use std::time::Duration;

const ENDS: [&str; 5] = ["delivered", "dead", "expired", "cancelled", "unknown"];

/// What exists before anything happens, with 0: names, and labels with all their values.
const FROM_THE_START: &str = "
    notification_refused_total reason=invalid,no_contact,backlog_full,store_unavailable,shed
    notification_attempts_total channel=sms,push outcome=delivered,retry,parked,dead,unknown provider=console
    notification_accepted_total channel=sms,push priority=urgent,normal,bulk
    notification_finished_total channel=sms,push outcome=delivered,dead,expired,cancelled,unknown priority=urgent,normal,bulk
    notification_ledger_jobs state=accepted,queued,delivered,dead,expired,cancelled,unknown
    workers_busy channel=sms,push
    rate_limit_decisions_total decision=allowed,limited surface=http,grpc
    rate_limit_clients
    auth_requests_total key=none outcome=unknown_key,forbidden,ok
    auth_key_file_reloads_total outcome=ok,failed
    queue_jobs state=ready,scheduled,running
    queue_oldest_job_age_seconds priority=urgent,normal,bulk
    queue_recovered_jobs_total
    telemetry_spans_ended_total
    telemetry_spans_total outcome=exported,failed,dropped
    telemetry_spans_queued
    telemetry_log_lines_total outcome=dropped
    http_requests_in_flight
    http_connections_timed_out_total
";

/// Each of these series, with the labels in alphabetical order.
fn series(line: &str) -> Vec<String> {
    let mut words = line.split_whitespace();
    let name = words.next().unwrap();
    let all = words.fold(vec![String::new()], |begun, word| {
        let (label, values) = word.split_once('=').unwrap();
        let pairs = values.split(',').map(|value| format!("{label}=\"{value}\","));
        pairs.flat_map(|pair| begun.iter().map(move |begin| format!("{begin}{pair}"))).collect()
    });
    let braced = |labels: String| format!("{name}{{{}}}", labels.trim_end_matches(','));
    all.into_iter().map(|labels| if labels.is_empty() { name.to_owned() } else { braced(labels) }).collect()
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
    for series in FROM_THE_START.trim().lines().flat_map(series) {
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
    for (reason, count) in [("invalid", 4), ("no_contact", 1), ("backlog_full", 1)] {
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
