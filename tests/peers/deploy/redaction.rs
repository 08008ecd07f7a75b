//! The second redaction: what the services should never have said goes no further than the collector.

use super::{
    backends::{Lines, object},
    collector::{ERROR, SERVER, Site, attribute, span},
};
use chassis_test::{Behaviour, Collector as Backend, until_so};
use serde_json::{Value, json};
use std::time::Duration;

/// Stands in every place of a span that can hold a text.
const CANARY: &str = "canary-4711";
const PHONE: &str = "+4930901820";
const SPACED: &str = "+49 (30) 901-820";
const KEY: &str = "epro-notify_mzxw6ytboimzxw6ytboimzxw6ytboimzxw6ytboimzxw6ytboiaa";

#[test]
fn what_is_not_on_the_list_and_what_looks_like_a_secret_do_not_come_out() {
    let (backend, lines) = (Backend::start(Behaviour::Accept), Lines::start());
    let collector = Site::new(backend.address, lines.address).unpacked().start();
    let mut leaking = span(1, Duration::from_millis(1), SERVER, ERROR);
    leaking["attributes"] = json!([
        attribute("patient.id", CANARY),
        attribute("http.request.header.authorization", CANARY),
        attribute("http.route", &format!("/call/{PHONE}")),
        attribute("reason", &format!("refused {SPACED}")),
        attribute("error.type", &format!("Bearer {KEY}")),
        attribute("user.name", KEY),
        attribute("rpc.method", "epro.v1.EproService/GetLatestReport"),
        {"key": "attempt", "value": {"intValue": "3"}},
    ]);
    leaking["name"] = json!(format!("GET {PHONE}"));
    leaking["status"]["message"] = json!(format!("no route to {SPACED}"));
    leaking["events"] = json!([{"name": format!("called {PHONE}"), "timeUnixNano": "1",
        "attributes": [attribute("message.text", CANARY), attribute("target", PHONE)]}]);
    collector.send(&[leaking]);
    until_so("the span arrives", || !backend.spans().is_empty());

    let told = format!("{:?}", backend.received());
    for secret in [CANARY, PHONE, SPACED, KEY, "901820", "901-820", "canary-resource"] {
        assert!(!told.contains(secret), "{secret} came out: {told}");
    }
    let [span] = &backend.spans()[..] else { panic!("{told}") };
    let attributes = object(&span.attributes);
    assert_eq!(attributes["rpc.method"], "epro.v1.EproService/GetLatestReport", "{attributes}");
    assert_eq!(attributes["attempt"], 3, "a number stays a number: {attributes}");
    assert_eq!(attributes["http.route"], "/call/****", "{attributes}");
    assert_eq!(attributes["redaction.redacted.count"], 2, "how much was taken away is told: {attributes}");
    assert_eq!(attributes["redaction.redacted.keys"], Value::Null, "and not what: {attributes}");
}

#[test]
fn what_the_service_says_passes_as_it_is() {
    let (backend, lines) = (Backend::start(Behaviour::Accept), Lines::start());
    let collector = Site::new(backend.address, lines.address).unpacked().start();
    let mut plain = span(2, Duration::from_millis(1), SERVER, ERROR);
    plain["attributes"] = json!([
        attribute("http.route", "/api/v1/patients/{patientId}"),
        attribute("server.address", "127.0.0.1"),
        attribute("messaging.message.id", "0sahnpdaw0000"),
    ]);
    collector.send(&[plain]);
    until_so("the span arrives", || !backend.spans().is_empty());
    let [span] = &backend.spans()[..] else { panic!("one span") };
    let expected = json!({"http.route": "/api/v1/patients/{patientId}", "server.address": "127.0.0.1",
        "messaging.message.id": "0sahnpdaw0000"});
    assert_eq!(object(&span.attributes), expected);
    assert_eq!(span.name, "GET /api/v1/patients/{patientId}");
}
