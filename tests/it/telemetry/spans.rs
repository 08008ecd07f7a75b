//! The spans of a notification's trace: names, kinds, parents, links and attributes, also of a trace that
//! goes on after the process was killed.

use super::{
    scene::{Caller, play, site},
    span_rules,
};
use crate::support::{gateway::sent, locked::Sqlite, prelude::*};
use chassis_test::{
    lines,
    spans::{Span, SpanKind, StatusCode, attribute, float, hex, integer, named, text},
};
use std::thread;

/// The notification's spans in the trace: SERVER, PRODUCER, and the attempts with their calls, in order.
struct Trace {
    server: Span,
    producer: Span,
    attempts: Vec<(Span, Option<Span>)>,
}

impl Trace {
    /// Reads the trace that `caller` (trace id, span id) began, and fails where it is not one chain.
    fn of(spans: &[Span], (trace_id, caller): (&str, &str)) -> Self {
        let spans: Vec<Span> = spans.iter().filter(|span| hex(&span.trace_id) == trace_id).cloned().collect();
        let one = |name: &str, kind| -> Span {
            let found: [Span; 1] =
                named(&spans, name, kind).try_into().unwrap_or_else(|found| panic!("{name}: {found:#?}"));
            let [span] = found;
            span
        };
        let server = one("POST /api/v1/notifications/sms/async", SpanKind::Server);
        let producer = one("send notifications", SpanKind::Producer);
        assert_eq!(hex(&server.parent_span_id), caller);
        assert_eq!(producer.parent_span_id, server.span_id);
        let mut attempts = named(&spans, "process notifications", SpanKind::Consumer);
        attempts.sort_by_key(|span| span.start_time_unix_nano);
        let calls = named(&spans, "POST", SpanKind::Client);
        let attempts = attempts.into_iter().map(|attempt| {
            assert_eq!(attempt.parent_span_id, producer.span_id, "{attempt:#?}");
            let call = calls.iter().find(|call| call.parent_span_id == attempt.span_id).cloned();
            (attempt, call)
        });
        let attempts = attempts.collect();
        Self { server, producer, attempts }
    }

    /// Each attempt's links, as the places of the attempts that they lead to.
    fn links(&self) -> Vec<Vec<usize>> {
        let place = |id: &[u8]| self.attempts.iter().position(|(attempt, _)| attempt.span_id == id).unwrap();
        let links = |span: &Span| span.links.iter().map(|link| place(&link.span_id)).collect();
        self.attempts.iter().map(|(attempt, _)| links(attempt)).collect()
    }

    fn outcomes(&self) -> Vec<(i64, &str)> {
        self.attempts.iter().map(|(span, _)| (integer(span, "attempt"), text(span, "outcome"))).collect()
    }
}

/// Accepts one notification under a caller's trace; returns its id, and the caller's trace and span id.
fn accept(service: &Service) -> (String, String, String) {
    let context = TraceParent::new();
    let header = [("traceparent", &*context.to_string())];
    let answer = service.ask_with("POST", ASYNC, &header, MESSAGE);
    assert_eq!(answer.status, 202, "{answer:?}");
    (answer.text("id"), context.trace_id, context.span_id)
}

#[test]
fn one_trace_leads_from_the_caller_through_every_attempt_to_the_gateway() {
    let collector = Collector::start(Behaviour::Accept);
    let (gateway, tap, site) = site();
    gateway.behave(r#"{"status":503}"#);
    let service =
        site.exporting_to(&collector.endpoint()).with("APP_RETRY__MAX_ATTEMPTS", "50").start_with_patient();
    let (id, trace_id, caller) = accept(&service);
    until_so("two attempts", || gateway.arrivals_of(&id) >= 2);
    gateway.behave("{}");
    service.until_status(&id, "delivered");
    service.stop();

    let trace = Trace::of(&collector.spans(), (&trace_id, &caller));
    let last = trace.attempts.len() - 1;
    assert!(last >= 2);
    for (at, found) in trace.outcomes().into_iter().enumerate() {
        assert_eq!(found, (at as i64 + 1, if at == last { "delivered" } else { "retry" }));
    }
    let links: Vec<Vec<usize>> = (0..=last).map(|at| at.checked_sub(1).into_iter().collect()).collect();
    assert_eq!(trace.links(), links, "each retry is linked to the attempt before");
    // What the gateway was sent names each call's span, in order.
    let calls: Vec<&Span> = trace.attempts.iter().map(|(_, call)| call.as_ref().unwrap()).collect();
    let parents: Vec<String> =
        calls.iter().map(|call| format!("00-{trace_id}-{}-01", hex(&call.span_id))).collect();
    let sent: Vec<String> = sent(&tap).into_iter().map(|sent| sent.traceparent).collect();
    assert_eq!(sent, parents);
    assert_told(&trace, &id, &calls);
}

/// What each span has to say.
fn assert_told(trace: &Trace, id: &str, calls: &[&Span]) {
    let (server, producer) = (&trace.server, &trace.producer);
    assert_eq!(text(server, "http.request.method"), "POST");
    assert_eq!(text(server, "http.route"), ASYNC);
    assert_eq!(integer(server, "http.response.status_code"), 202);
    assert!(float(producer, "waited_ms") >= 0.0 && float(producer, "committed_ms") > 0.0, "{producer:#?}");
    for (span, operation) in
        [(producer, "send")].into_iter().chain(trace.attempts.iter().map(|(span, _)| (span, "process")))
    {
        assert_eq!(text(span, "messaging.operation.name"), operation);
        assert_eq!(text(span, "messaging.operation.type"), operation);
        assert_eq!(text(span, "messaging.system"), "epro-notify");
        assert_eq!(text(span, "messaging.destination.name"), "notifications");
        assert_eq!(text(span, "messaging.message.id"), id);
    }
    let (last, before) = calls.split_last().unwrap();
    assert_eq!(integer(last, "http.response.status_code"), 200);
    assert_eq!(attribute(last, "error.type"), None);
    for call in before {
        assert_eq!(integer(call, "http.response.status_code"), 503);
        assert_eq!(call.status.as_ref().unwrap().code(), StatusCode::Error, "{call:#?}");
        assert_eq!(text(call, "error.type"), "503");
    }
    for call in calls {
        assert_eq!((text(call, "server.address"), text(call, "http.request.method")), ("127.0.0.1", "POST"));
        assert!(integer(call, "server.port") > 0);
    }
}

#[test]
fn every_span_of_a_busy_run_says_what_is_allowed_and_nothing_else() {
    let collector = Collector::start(Behaviour::Accept);
    let (gateway, _tap, site) = site();
    let service = site.exporting_to(&collector.endpoint()).start();
    let asked = play(&service, &gateway).asked.len();
    service.stop();
    let spans = collector.spans();
    assert!(spans.len() > 2 * asked, "{asked}");
    spans.iter().for_each(span_rules::check);
}

#[test]
fn a_commit_is_one_span_in_a_trace_of_its_own_with_128_links_at_most() {
    const CALLERS: usize = 200;
    let collector = Collector::start(Behaviour::Accept);
    let site = Site::new().exporting_to(&collector.endpoint());
    let service = site.start();
    // While another holds the file all callers gather, and one commit then serves them all.
    let locked = Sqlite::open(&site.store());
    locked.execute("BEGIN IMMEDIATE");
    let http = service.http;
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let mut connection = Connection::open(http).unwrap();
            thread::spawn(move || connection.send("POST", ASYNC, MESSAGE).unwrap())
        })
        .collect();
    until_so("all have come", || service.metrics().sum("http_requests_in_flight", &[]) == CALLERS as u64);
    locked.execute("ROLLBACK");
    let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.status == 202), "{answers:?}");
    service.until_drained();
    service.stop();
    let spans = collector.spans();
    let commits = named(&spans, "commit", SpanKind::Client);
    let producers = named(&spans, "send notifications", SpanKind::Producer);
    assert_eq!(producers.len(), CALLERS);
    for commit in &commits {
        assert!(commit.parent_span_id.is_empty() && commit.links.len() <= 128, "{commit:#?}");
        assert!(commit.links.iter().all(|link| link.trace_id != commit.trace_id), "{commit:#?}");
        assert!(spans.iter().filter(|span| span.trace_id == commit.trace_id).count() == 1, "{commit:#?}");
    }
    let largest = commits.iter().max_by_key(|commit| integer(commit, "db.operation.batch.size")).unwrap();
    assert!(integer(largest, "db.operation.batch.size") > 128, "{largest:#?}");
    assert_eq!(largest.links.len(), 128);
    let of_a_producer = |id: &[u8]| producers.iter().any(|producer| producer.span_id == id);
    assert!(largest.links.iter().all(|link| of_a_producer(&link.span_id)), "{largest:#?}");
}

#[test]
fn accepting_makes_no_transaction_but_its_own_while_every_worker_of_its_channel_is_busy() {
    let collector = Collector::start(Behaviour::Accept);
    let (gateway, _tap, site) = site();
    let service =
        site.exporting_to(&collector.endpoint()).with("APP_QUEUE__WORKERS", "1").start_with_patient();
    gateway.behave(r#"{"blackHole":true}"#);
    let first = accept(&service);
    until_so("it hangs", || gateway.arrivals_of(&first.0) == 1);
    let more: Vec<Accepted> = (0..5).map(|_| accept(&service)).collect();
    gateway.behave("{}");
    more.iter().for_each(|(id, ..)| drop(service.until_status(id, "delivered")));
    service.stop();
    // Push has free workers throughout, and nothing to send.
    let commits = named(&collector.spans(), "commit", SpanKind::Client);
    assert!(commits.len() >= more.len());
    commits
        .iter()
        .for_each(|commit| assert_ne!(integer(commit, "db.operation.batch.size"), 0, "{commits:#?}"));
}

#[test]
fn the_same_trace_goes_on_after_a_kill_and_links_to_the_last_attempt_that_is_known() {
    let collector = Collector::start(Behaviour::Accept);
    let (gateway, tap, site) = site();
    let site = site
        .exporting_to(&collector.endpoint())
        .with("APP_RETRY__BASE_DELAY", "1ms")
        .with("APP_RETRY__MAX_DELAY", "1ms");
    let site = site.with("APP_SMS__HTTP__TIMEOUT", "20s").with("APP_RETRY__MAX_ATTEMPTS", "1000");
    let service = site.start_with_patient();
    let (first, second) = interrupted(&service, &gateway, &collector);
    service.kill();
    gateway.behave("{}");
    let service = site.start();
    service.until_status(&first.0, "delivered");
    service.until_status(&second.0, "delivered");
    service.signal(Signal::TERM);
    let (_, stdout, stderr) = service.ended_with();
    assert_eq!(stderr, "");
    let (lines, spans) = (lines::read(&stdout, "epro-notify"), collector.spans());
    for ((id, trace_id, caller), known) in [(&first, true), (&second, false)] {
        let trace = Trace::of(&spans, (trace_id, caller));
        let last = trace.attempts.len() - 1;
        // The attempt that was cut off has no span: nobody was left to end it.
        assert_eq!(trace.outcomes()[last].1, "delivered");
        let before: Vec<usize> = if known {
            vec![last - 1]
        } else {
            assert_eq!(last, 0);
            vec![]
        };
        assert_eq!(trace.links()[last], before, "{id}");
        let told = lines.iter().filter(|line| line["fields"]["job_id"] == **id);
        assert!(told.inspect(|line| assert_eq!(line["trace_id"], **trace_id)).count() == 1);
        let call = trace.attempts[last].1.as_ref().unwrap();
        let sent: Vec<_> = sent(&tap).into_iter().filter(|sent| sent.id == **id).collect();
        assert!(sent.iter().all(|sent| sent.traceparent.contains(&**trace_id)), "{sent:?}");
        assert!(sent.last().unwrap().traceparent.contains(&hex(&call.span_id)), "{sent:?}");
    }
}

type Accepted = (String, String, String);

/// Two notifications that hang in an attempt: the first in a retry, the second in its first. Returns once
/// all spans before are exported.
fn interrupted(service: &Service, gateway: &Gateway, collector: &Collector) -> (Accepted, Accepted) {
    gateway.behave(r#"{"status":500}"#);
    let first = accept(service);
    until_so("a retry", || gateway.arrivals_of(&first.0) >= 2);
    gateway.behave(r#"{"blackHole":true}"#);
    let mut caller = Caller::of(service);
    let second = accept(service);
    until_so("the second hangs", || gateway.arrivals_of(&second.0) == 1);
    // The first hangs when it is sent and all its attempts before have ended.
    let path = format!("/api/v1/notifications/{}", first.0);
    let ended = until("the first hangs", || {
        let shown = caller.ask("GET", &path, "", 200).json();
        let ended = shown["attempts"].as_array().unwrap().len();
        (shown["status"] == "sending" && gateway.arrivals_of(&first.0) == ended + 1).then_some(ended)
    });
    until_so("the spans are exported", || {
        let spans = collector.spans();
        let of = |accepted: &Accepted, name: &str, kind| {
            named(&spans, name, kind).iter().filter(|span| hex(&span.trace_id) == accepted.1).count()
        };
        of(&first, "process notifications", SpanKind::Consumer) == ended
            && [&first, &second].iter().all(|accepted| {
                of(accepted, "send notifications", SpanKind::Producer) == 1
                    && of(accepted, "POST /api/v1/notifications/sms/async", SpanKind::Server) == 1
            })
    });
    (first, second)
}
