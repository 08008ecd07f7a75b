//! The page of metrics of the whole program: what is there from the start, in which form, with which labels,
//! and that it is right after a scripted run.

use super::{metric_rules::Page, scene};
use crate::support::{
    client::{Connection, ask},
    service::{ASYNC, MESSAGE, Service, Site},
    sms_gateway::Gateway,
    stuck::stuck,
    wait::{until, until_so},
};
use epro_notify::platform::telemetry::names;
use std::time::Duration;

fn page(service: &Service) -> Page {
    Page::read(&service.metrics().0)
}

const CHANNELS: [&str; 2] = ["sms", "push"];
const PRIORITIES: [&str; 3] = ["urgent", "normal", "bulk"];
const ENDS: [&str; 5] = ["delivered", "dead", "expired", "cancelled", "unknown"];

/// All series of ours that exist before anything happens, all but gauges with 0.
fn from_the_start() -> Vec<String> {
    let each = |name: &str, label: &str, values: &[&str]| -> Vec<String> {
        values.iter().map(|value| format!("{name}{{{label}=\"{value}\"}}")).collect()
    };
    let mut all = each(
        "notification_refused_total",
        "reason",
        &["invalid", "no_contact", "backlog_full", "store_unavailable", "shed"],
    );
    for channel in CHANNELS {
        for outcome in ["delivered", "retry", "parked", "dead", "unknown"] {
            all.push(format!(
                "notification_attempts_total{{channel=\"{channel}\",outcome=\"{outcome}\",provider=\"console\"}}"
            ));
        }
        for priority in PRIORITIES {
            let pair = format!("channel=\"{channel}\"");
            all.push(format!("notification_accepted_total{{{pair},priority=\"{priority}\"}}"));
            all.extend(ENDS.map(|end| {
                format!("notification_finished_total{{{pair},outcome=\"{end}\",priority=\"{priority}\"}}")
            }));
        }
    }
    let states = ["accepted", "queued"].into_iter().chain(ENDS).collect::<Vec<_>>();
    all.extend(each("notification_ledger_jobs", "state", &states));
    all.extend(each("queue_jobs", "state", &["ready", "scheduled", "running"]));
    all.extend(each("queue_oldest_job_age_seconds", "priority", &PRIORITIES));
    all.extend(each("auth_key_file_reloads_total", "outcome", &["ok", "failed"]));
    all.extend(of_callers());
    all.extend(each("telemetry_spans_total", "outcome", &["exported", "failed", "dropped"]));
    all.extend(of_listeners());
    let alone = [
        "queue_recovered_jobs_total",
        "telemetry_spans_ended_total",
        "telemetry_spans_queued",
        "telemetry_late_parents_total",
        "http_requests_in_flight",
        "http_connections_timed_out_total",
        "rate_limit_clients",
        "rate_limit_overflow_total",
        "workers_busy",
        "telemetry_log_lines_total{outcome=\"dropped\"}",
    ];
    all.extend(alone.map(str::to_owned));
    all
}

/// Those that tell of callers, whoever they are.
fn of_callers() -> Vec<String> {
    let nobodys = ["unknown_key", "forbidden", "ok"]
        .map(|outcome| format!("auth_requests_total{{key=\"none\",outcome=\"{outcome}\"}}"));
    let mut all = nobodys.to_vec();
    for surface in ["http", "grpc"] {
        all.extend(["allowed", "limited"].map(|decision| {
            format!("rate_limit_decisions_total{{decision=\"{decision}\",surface=\"{surface}\"}}")
        }));
    }
    all
}

/// Those that each listener has.
fn of_listeners() -> Vec<String> {
    let mut all = Vec::new();
    for listener in ["http", "admin"] {
        let of_it = format!("listener=\"{listener}\"");
        all.push(format!("tls_handshakes_failed_total{{{of_it}}}"));
        all.push(format!("http_connections_limit_reached_total{{{of_it}}}"));
        all.push(format!("http_connections_refused_total{{{of_it}}}"));
        all.extend(
            ["ok", "failed"]
                .map(|outcome| format!("tls_certificate_reloads_total{{{of_it},outcome=\"{outcome}\"}}")),
        );
    }
    all
}

#[test]
fn every_outcome_and_gauge_is_there_with_0_before_anything_happens() {
    let service = Site::new().start();
    let page = page(&service);
    page.check();
    for series in from_the_start() {
        assert_eq!(page.value(&series), Some(0.0), "{series}\n{}", page.text);
    }
    for (series, least) in [
        ("workers", 32.0),
        ("store_up", 1.0),
        ("store_free_bytes", 1.0),
        ("telemetry_log_lines_total{outcome=\"written\"}", 1.0),
        ("process_resident_memory_bytes", 1.0),
        ("process_open_fds", 1.0),
        ("process_start_time_seconds", 1.0),
        ("tokio_workers_count", 1.0),
        ("tokio_live_tasks_count", 1.0),
    ] {
        assert!(page.value(series).is_some_and(|value| value >= least), "{series}\n{}", page.text);
    }
    let build = page.samples.iter().find(|(name, ..)| name == "build_info").unwrap();
    let labels: Vec<&str> = build.1.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["commit", "platform_version", "rustc", "version"]);
    assert_eq!(build.2, 1.0);
}

#[test]
fn the_page_is_right_after_a_busy_run_and_has_every_histogram() {
    let (gateway, _tap, site) = scene::site();
    let service = site.start();
    let asked = scene::play(&service, &gateway).asked;
    // What is committed is counted a moment later: all but what waits for its time, and the replayed one twice.
    let page = until("every end is counted", || {
        let page = page(&service);
        let accepted = page.value("notification_ledger_jobs{state=\"accepted\"}");
        (Some(page.sum("notification_finished_total", &[])) == accepted).then_some(page)
    });
    page.check();
    for (name, _) in names::HISTOGRAMS.iter().filter(|(name, _)| !name.starts_with("grpc_")) {
        assert!(page.types.get(*name).is_some_and(|kind| kind == "histogram"), "{name}\n{}", page.text);
    }
    let answered = |status: u16| asked.iter().filter(|asked| asked.answer.status == status).count() as f64;
    // What a synchronous call accepts is counted as well: delivered, dead and unknown, once each.
    let accepted = answered(202) - 1.0 + 3.0;
    let ledger = |state: &str| page.value(&format!("notification_ledger_jobs{{state=\"{state}\"}}")).unwrap();
    assert_eq!(page.sum("notification_accepted_total", &[]), accepted);
    assert_eq!(ledger("accepted"), accepted, "{}", page.text);
    assert_eq!(
        (ledger("queued"), ledger("dead"), ledger("cancelled"), ledger("unknown")),
        (1.0, 1.0, 1.0, 1.0)
    );
    for state in ENDS {
        // The one that was replayed was dead first, and is delivered now.
        let replayed = if state == "dead" { 1.0 } else { 0.0 };
        let finished = page.sum("notification_finished_total", &[("outcome", state)]);
        assert_eq!(finished, ledger(state) + replayed, "{state}\n{}", page.text);
    }
    assert_eq!(page.value("queue_jobs{state=\"scheduled\"}"), Some(1.0));
    // 413 is refused before anybody knows that it would be a notification.
    for (reason, count) in [("invalid", 3.0), ("no_contact", 1.0), ("backlog_full", 1.0)] {
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
    let (_gateway, _site, service) = stuck();
    let waiting = |state: &str| format!("queue_jobs{{state=\"{state}\"}}");
    let aged = until("the oldest is a second old", || {
        let page = page(&service);
        (page.value("queue_oldest_job_age_seconds{priority=\"normal\"}")? >= 1.0).then_some(page)
    });
    let found = ["ready", "running", "scheduled"].map(|state| aged.value(&waiting(state)));
    assert_eq!(found, [Some(3.0), Some(2.0), Some(0.0)], "{}", aged.text);
    assert_eq!((aged.value("workers_busy"), aged.value("workers")), (Some(2.0), Some(2.0)));
    assert_eq!(aged.value("queue_oldest_job_age_seconds{priority=\"urgent\"}"), Some(0.0));
    assert_eq!(aged.value("notification_ledger_jobs{state=\"queued\"}"), Some(5.0));
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
            let mut connection = Connection::open(service.http).unwrap();
            connection.send_with(&method, &path, &[("x-forwarded-for", &number.to_string())], "").unwrap();
            ask(service.admin, &method, &path, "").unwrap();
        }
        service.ask(
            "POST",
            ASYNC,
            &format!(r#"{{"patientId":"p","message":"x","priority":"hostile{number}"}}"#),
        );
    }
    service.ask("POST", ASYNC, MESSAGE);
    service.until_drained();
    let page = page(&service);
    page.check();
    let requests = page.samples.iter().filter(|(name, ..)| name == "http_request_duration_seconds_count");
    assert!(requests.count() < 15, "{}", page.text);
}

#[test]
fn the_page_answers_while_requests_hang() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway).with("APP_SMS__HTTP__TIMEOUT", "20s");
    let service = site.start_with_patient();
    let (http, _) = (service.http, service.admin);
    let callers: Vec<_> = (0..20)
        .map(|_| std::thread::spawn(move || ask(http, "POST", crate::support::service::SYNC, MESSAGE)))
        .collect();
    until_so("they hang", || page(&service).value("http_requests_in_flight") == Some(20.0));
    let begun = std::time::Instant::now();
    page(&service).check();
    assert!(begun.elapsed() < Duration::from_secs(5));
    service.kill();
    callers.into_iter().for_each(|caller| assert!(caller.join().unwrap().is_err()));
}
