//! Callers are told apart by their keys: in lines, counts and limits, and for what they repeat.

use super::WRONG;
use crate::support::{
    keys::{ask_by, line, text, with_keys},
    prelude::*,
};
use chassis_test::spans::{self, Span};
use std::{io::Write, net::TcpStream};

/// The one line of the request that this answered.
fn line_of(service: &Service, answer: &Answer) -> Value {
    let trace = answer.trace_id();
    until("the request's line", || {
        let lines = service.lines();
        lines.into_iter().find(|line| line["message"] == "request" && line["trace_id"] == *trace)
    })
}

fn counted(service: &Service, key: &str, outcome: &str) -> u64 {
    service.metrics().sum("auth_requests_total", &[("key", key), ("outcome", outcome)])
}

#[test]
fn every_call_is_counted_and_told_by_the_name_of_its_key() {
    let collector = Collector::start(Behaviour::Accept);
    let site = with_keys(Site::new(), &[line("app", "send"), line("reader", "read")]);
    let service = site.with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()).start();
    for key in ["app", "reader", "none"] {
        for outcome in ["ok", "unknown_key", "forbidden"] {
            let series = format!("auth_requests_total{{key=\"{key}\",outcome=\"{outcome}\"}} 0");
            assert!(service.metrics().text.contains(&series), "{series}");
        }
    }
    let (app, reader) = (text("app"), text("reader"));
    let let_in = ask_by(service.http, &app, "POST", ASYNC, MESSAGE);
    assert_eq!(let_in.status, 202);
    assert_eq!(line_of(&service, &let_in)["fields"]["key"], "app");
    let forbidden = ask_by(service.http, &reader, "POST", ASYNC, MESSAGE);
    assert_eq!(line_of(&service, &forbidden)["fields"]["key"], "reader");
    let lost = ask_by(service.http, &reader, "GET", "/nowhere", "");
    assert_eq!((lost.status, &line_of(&service, &lost)["fields"]["key"]), (404, &"reader".into()));
    for unknown in [ask_by(service.http, WRONG, "POST", ASYNC, MESSAGE), service.ask("POST", ASYNC, MESSAGE)]
    {
        assert_eq!(unknown.status, 401);
        assert_eq!(line_of(&service, &unknown)["fields"]["key"], Value::Null);
    }
    // Browsers ask this without a key: no failure.
    assert_eq!(service.ask("OPTIONS", ASYNC, "").status, 204);
    assert_eq!((counted(&service, "app", "ok"), counted(&service, "reader", "ok")), (1, 1));
    assert_eq!(counted(&service, "reader", "forbidden"), 1);
    assert_eq!((counted(&service, "none", "unknown_key"), counted(&service, "none", "ok")), (2, 1));
    service.stop();
    let spans = collector.spans();
    let of_a_key = |span: &&Span| spans::attribute(span, "user.name").is_some();
    let users: Vec<_> = spans.iter().filter(of_a_key).map(|span| spans::text(span, "user.name")).collect();
    let named = |name: &str| users.iter().filter(|user| **user == name).count();
    assert_eq!((named("app"), named("reader")), (1, 2));
}

#[test]
fn without_a_key_file_everybody_on_loopback_is_let_in_and_counted_as_nobody() {
    let service = Site::new().start();
    service.accept();
    assert_eq!(ask_by(service.http, WRONG, "GET", "/api/v1/dead-letters", "").status, 200);
    assert_eq!((counted(&service, "none", "ok"), counted(&service, "none", "unknown_key")), (2, 0));
}

#[test]
fn a_caller_that_left_is_told_by_its_key_too() {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = with_keys(Site::sending_to(&gateway), &[line("app", "send,operate")]);
    let service = site.start();
    let patient = r#"{"phone":"+4930901820"}"#;
    assert_eq!(ask_by(service.http, &text("app"), "PUT", "/api/v1/patients/p-1", patient).status, 201);
    let mut leaving = TcpStream::connect(service.http).unwrap();
    let (length, key) = (MESSAGE.len(), text("app"));
    let head = format!("host: x\r\ncontent-type: application/json\r\nauthorization: Bearer {key}");
    write!(leaving, "POST {SYNC} HTTP/1.1\r\n{head}\r\ncontent-length: {length}\r\n\r\n{MESSAGE}").unwrap();
    gateway.has_received(1);
    drop(leaving);
    until_so("it is told", || {
        let lines = service.lines();
        let left = lines.iter().find(|line| line["fields"]["status"] == 499);
        left.is_some_and(|line| line["fields"]["key"] == "app")
    });
}

fn post(service: &Service, from: &str, key: &str) -> Answer {
    let bearer = format!("Bearer {}", text(key));
    let headers = [("authorization", &*bearer), ("idempotency-key", "the-same"), ("x-forwarded-for", from)];
    service.ask_with("POST", ASYNC, &headers, MESSAGE)
}

#[test]
fn what_one_key_sent_is_repeated_from_any_address_and_hidden_from_another_key() {
    let site = with_keys(Site::new(), &[line("app", "send"), line("other", "send")]);
    let service = site.with("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.1/32").start();
    let first = post(&service, "192.0.2.1", "app");
    assert_eq!((first.status, replayed(&first)), (202, false), "{first:?}");
    let again = post(&service, "198.51.100.1", "app");
    assert_eq!((again.text("id"), replayed(&again)), (first.text("id"), true));
    let other = post(&service, "192.0.2.1", "other");
    assert_eq!((other.status, replayed(&other)), (202, false), "{other:?}");
    assert_ne!(other.text("id"), first.text("id"));
}

#[test]
fn guessing_ends_in_429_and_a_known_key_from_the_same_address_is_not_affected() {
    let site = with_keys(Site::new(), &[line("app", "send,read")]);
    let site = site.limited("1", "20");
    let service = site.start();
    let guess =
        |number: usize| ask_by(service.http, &format!("guess-{number}"), "POST", ASYNC, MESSAGE).status;
    let guesses: Vec<u16> = (0..60).map(guess).collect();
    assert!(guesses[..20].iter().all(|status| *status == 401), "{guesses:?}");
    assert!(guesses.iter().filter(|status| **status == 429).count() > 20, "{guesses:?}");
    for _ in 0..10 {
        assert_eq!(ask_by(service.http, &text("app"), "POST", ASYNC, MESSAGE).status, 202);
    }
    // Each was a failed identity, answered so or not.
    assert_eq!((counted(&service, "none", "unknown_key"), counted(&service, "app", "ok")), (60, 10));
}
