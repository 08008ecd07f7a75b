//! Nothing that identifies a patient, and no secret, is told by lines, spans, metrics or refusals, even at
//! `RUST_LOG=trace`; and all of it is where it belongs, which proves that the search would find it.

use super::{
    canary_calls,
    canary_scene::{DELIVERED, KEY_HASH, play, site},
    traces,
};
use crate::support::{
    gateway::{Act, RawGateway},
    prelude::*,
};
use std::fs;

/// A part of every canary, of the one that is a number, and what a key is known by.
const CANARIES: [&str; 3] = ["canary", "30901829", KEY_HASH];

#[test]
fn no_canary_is_told_and_each_is_where_it_belongs() {
    let collector = Collector::start(Behaviour::Accept);
    let exported = Tap::before(collector.address);
    let (gateway, raw) = (Gateway::start(), RawGateway::start());
    raw.always(Act::Bytes(DELIVERED));
    let (sms, push) = (Tap::before(gateway.address), Tap::before(raw.address));
    let site = site(sms.address, push.address, exported.address);
    let service = site.start();
    let answers = play(&service, &raw);
    let refused = canary_calls::play(&service);
    let metrics = service.metrics().text;
    let readiness = service.readiness().1;
    let traces = ["text/html", "application/json"].map(|form| traces::shown(&service, form).body);
    service.signal(Signal::TERM);
    let (code, stdout, stderr) = service.ended_with();
    assert_eq!(code, 0, "{stderr}");

    for answer in &answers {
        assert_untold("an answer", without_pointers(answer).as_bytes());
    }
    assert_untold("a status", format!("{refused:?}").as_bytes());
    assert_untold("stdout", stdout.as_bytes());
    assert_untold("stderr", stderr.as_bytes());
    assert_untold("metrics", metrics.as_bytes());
    assert_untold("readiness", readiness.as_bytes());
    for page in &traces {
        assert_untold("traces", page.as_bytes());
        assert_told(
            "traces",
            page.as_bytes(),
            &["process notifications", "attempt finished", "find contact"],
        );
    }
    // The collector's own headers stand there compressed, what they authorise does not.
    assert_untold("exported spans", &exported.bytes());
    assert_untold("exported spans", format!("{:?}", collector.received()).as_bytes());
    assert!(answers.len() > 70, "the scene was not played: {}", answers.len());
    assert_told("stdout", stdout.as_bytes(), &["attempt finished", r#""level":"INFO""#]);
    // Libraries say much at these levels, and what they say is theirs to choose: none of it is written.
    let below = [r#""level":"INFO""#, r#""level":"DEBUG""#, r#""level":"TRACE""#];
    let ours = [r#""target":"epro_notify"#, r#""target":"chassis"#];
    for line in stdout.lines().filter(|line| below.iter().any(|level| line.contains(level))) {
        assert!(ours.iter().any(|target| line.contains(target)), "{line}");
    }
    assert_told("exported spans", &exported.bytes(), &["send notifications", "process notifications"]);
    assert!(collector.metadata()[0].get("authorization").is_some());

    let files =
        ["", "-wal"].map(|end| fs::read(format!("{}{end}", site.store().display())).unwrap_or_default());
    assert_told(
        "the store",
        &files.concat(),
        &[
            "canary-patient", "canary message", "canary title", "canary-token", "30901829", "de-canary",
            "canary report",
        ],
    );
    assert_told(
        "the SMS gateway",
        &sms.bytes(),
        &["canary-path", "canary-query", "canary message", "30901829"],
    );
    assert_told("the push gateway", &push.bytes(), &["canary title", "canary message", "canary-token"]);
}

/// A pointer to a member that is not known is its name, which its sender is told; all else is searched.
fn without_pointers(answer: &Answer) -> String {
    let mut answer = answer.clone();
    if let Ok(mut body) = serde_json::from_str::<Value>(&answer.body) {
        let faults = body["errors"].as_array_mut().into_iter().flatten();
        faults.for_each(|fault| fault["pointer"] = Value::Null);
        answer.body = body.to_string();
    }
    format!("{answer:?}")
}

fn assert_untold(place: &str, bytes: &[u8]) {
    let lower = bytes.to_ascii_lowercase();
    for canary in CANARIES {
        let found = find(&lower, &canary.to_ascii_lowercase());
        let around = found
            .map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(600)..bytes.len().min(at + 200)]));
        assert!(found.is_none(), "{canary} is told by {place}: …{}…", around.unwrap());
    }
}

fn assert_told(place: &str, bytes: &[u8], texts: &[&str]) {
    for text in texts {
        assert!(find(bytes, text).is_some(), "{text} is not in {place}");
    }
}

fn find(bytes: &[u8], text: &str) -> Option<usize> {
    bytes.windows(text.len()).position(|window| window == text.as_bytes())
}

#[test]
fn a_refused_setting_is_named_without_the_secret_in_it() {
    let address = "ftp://canary-user:canary-word@127.0.0.1:1/canary?canary";
    for value in [address, "canary canary"] {
        let site = Site::new().with("APP_SMS__PROVIDER", "http").with("APP_SMS__HTTP__URL", value);
        let said = site.faults(&[]).join("\n");
        assert!(said.contains("APP_SMS__HTTP__URL"), "{said}");
        assert_untold(value, said.as_bytes());
    }
    // Those of OpenTelemetry stop nothing.
    for (key, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "canary canary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary=%zzcanary"),
        ("OTEL_TRACES_SAMPLER", "canary"),
    ] {
        assert_untold(key, Site::new().with(key, value).start().stop_and_read().as_bytes());
    }
}
