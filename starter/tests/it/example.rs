//! The example endpoint and the example job.

use crate::service;
use chassis_test::{Answer, Behaviour, Collector, Running, until, until_so};

/// Calls the endpoint.
fn accept(service: &Running, text: &str) -> Answer {
    service.ask("POST", "/api/v1/examples", &serde_json::json!({ "text": text }).to_string())
}

/// Waits until so many jobs have ended so.
fn until_finished(service: &Running, outcome: &str, jobs: u64) {
    until_so("the jobs have ended", || {
        service.metrics().sum("jobs_finished_total", &[("channel", "examples"), ("outcome", outcome)]) == jobs
    });
}

#[test]
fn what_is_accepted_is_counted_and_worked_on() {
    let service = service().start();
    let answer = accept(&service, "three small words");
    assert_eq!(answer.status, 202, "{answer:?}");
    until_finished(&service, "completed", 1);
    assert_eq!(service.metrics().sum("example_characters_total", &[]), 17);
    assert_eq!(service.metrics().sum("example_words_total", &[]), 3);
    let line = service.told("example counted", 1).remove(0);
    assert_eq!((&line["fields"]["job_id"], &line["fields"]["words"]), (&answer.json()["id"], &3.into()));
    service.stop();
}

#[test]
fn a_text_without_a_word_fails_and_is_counted() {
    let service = service().start();
    assert_eq!(accept(&service, " ").status, 202);
    until_finished(&service, "failed", 1);
}

#[test]
fn what_was_accepted_outlives_a_kill() {
    let app = service().with("APP_QUEUE__WORKERS", "1");
    let service = app.start();
    (0..20).for_each(|_| assert_eq!(accept(&service, "a few words").status, 202));
    service.kill();
    let service = app.start();
    until_so("the ledger adds up", || {
        let page = service.metrics();
        let jobs = |state| page.sum("jobs_ledger", &[("state", state)]);
        (jobs("accepted"), jobs("completed"), jobs("queued")) == (20, 20, 0)
    });
}

#[test]
fn a_repeat_with_the_same_key_gets_the_first_answer() {
    let service = service().start();
    let ask = |text: &str| {
        let body = format!(r#"{{"text":"{text}"}}"#);
        service.ask_with("POST", "/api/v1/examples", &[("idempotency-key", "k-1")], &body)
    };
    let first = ask("once");
    assert_eq!(ask("once").json()["id"], first.json()["id"]);
    assert_eq!(ask("another").status, 422);
    assert_eq!(service.metrics().sum("jobs_accepted_total", &[("channel", "examples")]), 1);
}

#[test]
fn a_request_that_is_not_valid_is_a_problem_that_says_where() {
    let service = service().start();
    for (text, status) in [("", 422), (&"x".repeat(201), 422)] {
        let answer = accept(&service, text);
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/text");
    }
}

#[test]
fn one_trace_leads_from_the_request_to_the_job() {
    let collector = Collector::start(Behaviour::Accept);
    let app = service()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .with("OTEL_BSP_SCHEDULE_DELAY", "20");
    let service = app.start();
    assert_eq!(accept(&service, "a few words").status, 202);
    let [server, process] = ["POST /api/v1/examples", "process jobs"]
        .map(|name| until(name, || collector.spans().into_iter().find(|span| span.name == name)));
    assert_eq!(server.trace_id, process.trace_id);
}
