//! What each answer of a gateway means for the message, as the contract's table has it.

use crate::support::{
    gateway::{Act, RawGateway, Sent},
    prelude::*,
};
use chassis_test::Certificate;
use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

/// How attempts end that are answered so, and how many lines at WARN there are.
const STATUSES: &[(&str, &[u16], usize)] = &[
    ("delivered", &[200, 202, 204], 0),
    ("retry", &[408, 409, 421, 423, 425, 500, 501, 503, 507], 0),
    ("unknown", &[502, 504], 0),
    ("parked", &[429], 0),
    ("parked", &[301, 401, 403, 404, 405, 407], 1),
    ("dead", &[400, 402, 413, 422, 451], 1),
];

/// What the gateway does, how the attempt ends, the reason that is shown, and the lines at WARN.
type Row = (Act, &'static str, String, usize);

fn rows() -> Vec<Row> {
    let answered = STATUSES.iter().flat_map(|(outcome, statuses, told)| {
        statuses.iter().map(move |status| (Act::Status(*status), *outcome, format!("status_{status}"), *told))
    });
    let others = [(Act::Close, ""), (Act::Silence, "timeout")];
    answered.chain(others.map(|(act, reason)| (act, "unknown", reason.to_owned(), 0))).collect()
}

fn site(gateway: &RawGateway) -> Site {
    Site::sending_to_url(&gateway.url()).with("APP_SMS__HTTP__TIMEOUT", "500ms")
}

fn warnings(output: &str) -> Vec<&str> {
    output.lines().filter(|line| line.contains(r#""level":"WARN""#)).collect()
}

fn check((act, outcome, reason, told): &Row) {
    let gateway = RawGateway::start();
    gateway.will(&[*act]);
    // What is tried again waits until it is looked at.
    let service = site(&gateway)
        .with("APP_RETRY__BASE_DELAY", "1h")
        .with("APP_RETRY__MAX_DELAY", "1h")
        .start_with_patient();
    let id = service.accept();
    let shown = service.until_attempt(&id, outcome);
    assert_eq!(outcomes(&shown), [*outcome], "{act:?}: {shown}");
    let status = if matches!(*outcome, "delivered" | "dead") { *outcome } else { "retrying" };
    assert_eq!(shown["status"], status, "{act:?}: {shown}");
    assert!(shown["reason"] == **reason || status == "delivered" || reason.is_empty(), "{act:?}: {shown}");
    let output = service.stop_and_read();
    let warnings = warnings(&output);
    assert_eq!(warnings.len(), *told, "{act:?}: {warnings:#?}");
    let first = || warnings[0].contains(&id) && warnings[0].contains(reason);
    assert!(*outcome != "dead" || first(), "{warnings:?}");
}

#[test]
fn each_answer_of_a_gateway_leads_to_its_outcome() {
    let (shares, rows) = (3, rows());
    thread::scope(|scope| {
        for share in rows.chunks(rows.len().div_ceil(shares)) {
            scope.spawn(|| share.iter().for_each(check));
        }
    });
}

#[test]
fn a_fault_of_our_configuration_opens_the_breaker_and_loses_no_message() {
    let gateway = RawGateway::start();
    gateway.always(Act::Status(401));
    let service = site(&gateway).with("APP_RETRY__MAX_ATTEMPTS", "2").start_with_patient();
    let ids: Vec<String> = (0..60).map(|_| service.accept()).collect();
    let opened = [("target", "sms"), ("to", "open")];
    until_so("the breaker opens", || service.metrics().sum("circuit_breaker_transitions_total", &opened) > 0);
    gateway.always(Act::Status(200));
    let begun = Instant::now();
    ids.iter().for_each(|id| drop(service.until_status(id, "delivered")));
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    assert_eq!(service.ledger().of("dead"), 0);
    let output = service.stop_and_read();
    let episode = warnings(&output).into_iter().filter(|line| line.contains("401")).count();
    assert!((1..=2).contains(&episode), "the start and the end of the episode: {output}");
}

#[test]
fn the_repeats_of_a_doubtful_message_are_bounded_and_then_a_person_decides() {
    let gateway = RawGateway::start();
    gateway.always(Act::Status(504));
    let service = site(&gateway).with("APP_RETRY__MAX_UNKNOWN", "2").start_with_patient();
    let id = service.accept();
    let shown = service.until_status(&id, "unknown");
    assert_eq!(outcomes(&shown), ["unknown"; 3], "the first, and two repeats");
    assert_eq!(gateway.sent_of(&id), 3);
    assert_eq!(service.resolve(&id, "delivered").status, 200);
}

#[test]
fn a_connection_that_the_gateway_has_closed_costs_no_attempt_and_no_doubt() {
    let gateway = RawGateway::start();
    gateway.always(Act::DeliveredAndClosed);
    let service = site(&gateway).start_with_patient();
    for _ in 0..30 {
        let shown = service.until_status(&service.accept(), "delivered");
        assert_eq!(outcomes(&shown), ["delivered"], "{shown}");
    }
    assert_eq!(gateway.connections(), 30);
}

#[test]
fn a_dead_letter_is_warned_of_in_its_trace_whatever_else_is_silent() {
    let gateway = RawGateway::start();
    gateway.always(Act::Status(422));
    let service = site(&gateway).with("RUST_LOG", "warn").start_quietly();
    service.contact("p-1", PATIENT);
    let trace = "11111111111111112222222222222222";
    let parent = [("traceparent", &*format!("00-{trace}-3333333333333333-01"))];
    let id = service.ask_with("POST", ASYNC, &parent, MESSAGE).text("id");
    service.until_status(&id, "dead");
    let output = service.stop_and_read();
    let told: Vec<_> = warnings(&output).into_iter().filter(|line| line.contains(&id)).collect();
    let [told] = told[..] else { panic!("{output}") };
    assert!(told.contains("status_422") && told.contains(&format!(r#""trace_id":"{trace}""#)), "{told}");
}

/// Sends on connections that the gateway is about to close, is closing, or has closed. Returns how many of 180 or
/// more attempts are in doubt, and how many crossed the close; every message arrives once.
fn doubts(idle_timeout: &str) -> (usize, usize) {
    let (gateway, closes_after) = (RawGateway::start(), Duration::from_millis(200));
    gateway.closes_idle_after(closes_after);
    let service = site(&gateway).with("APP_SMS__HTTP__IDLE_TIMEOUT", idle_timeout).start_with_patient();
    let mut doubts = 0;
    // On a busy machine a round may take longer than connections are idle.
    for round in (0..150_u64).take_while(|round| *round < 15 || gateway.connections() <= 15) {
        let sent_at = Instant::now();
        for id in (0..12).map(|_| service.accept()).collect::<Vec<_>>() {
            doubts += outcomes(&service.until_status(&id, "delivered")).len() - 1;
            assert_eq!(gateway.sent_of(&id), 1);
        }
        let gap = closes_after - Duration::from_millis(20) + Duration::from_millis(2 * (round % 15));
        thread::sleep(gap.saturating_sub(sent_at.elapsed()));
    }
    assert!(gateway.connections() > 15, "no connection was idle for too long");
    (doubts, gateway.crossed())
}

#[test]
fn connections_that_are_kept_for_less_than_the_gateway_does_leave_no_doubt() {
    assert_eq!(doubts("100ms"), (0, 0));
}

/// Only what crosses the close on its way is in doubt.
#[test]
fn a_gateway_that_closes_idle_connections_gets_nothing_twice() {
    let (doubts, crossed) = doubts("4s");
    assert!(doubts <= crossed, "{doubts} of 180, of which {crossed} crossed");
}

/// Nobody but the gateway knows that it has read nothing, so the attempt is in doubt; the message arrives once.
#[test]
fn a_gateway_that_closes_before_it_reads_gets_the_message_with_the_next_attempt() {
    let gateway = RawGateway::start();
    let service = site(&gateway).start_with_patient();
    service.until_status(&service.accept(), "delivered");
    for _ in 0..10 {
        gateway.closes_unread();
        let id = service.accept();
        let shown = service.until_status(&id, "delivered");
        assert_eq!(outcomes(&shown), ["unknown", "delivered"], "{shown}");
        assert_eq!(gateway.sent_of(&id), 1);
    }
    assert_eq!(service.ledger().of("unknown"), 0);
}

#[test]
fn a_caller_who_waits_for_a_slow_gateway_is_answered_in_the_handlers_time() {
    let gateway = RawGateway::start();
    let service = site(&gateway)
        .with("APP_SMS__HTTP__TIMEOUT", "60s")
        .with("APP_HTTP__HANDLER_TIMEOUT", "1s")
        .start_with_patient();
    gateway.always(Act::Silence);
    let later = service.accept();
    let begun = Instant::now();
    let answer = service.ask("POST", SYNC, MESSAGE);
    answer.problem(504, "notification-unknown");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(service.notification(&answer.text("id"))["status"], "unknown");
    // Nobody waits for the other one, which has all its time.
    assert_eq!(outcomes(&service.notification(&later)), [""; 0]);
    assert_eq!(service.notification(&later)["status"], "sending");
}

#[test]
fn the_gateway_is_sent_the_message_with_its_key_and_what_authorises_us() {
    let gateway = RawGateway::start();
    let site = site(&gateway).pushing_to(&gateway.url());
    let file = site.file("authorization", "\u{feff}Basic dXNlcjp3b3Jk\r\n");
    let service = site
        .with("APP_SMS__HTTP__AUTHORIZATION_FILE", &file)
        .with("APP_PUSH__HTTP__AUTHORIZATION_FILE", &file)
        .start();
    service.contact("p-1", r#"{"phone":"+4930901820","pushTokens":[{"platform":"fcm","token":"one"}]}"#);
    let id = service.accept();
    service.until_status(&id, "delivered");
    let push = r#"{"patientId":"p-1","title":"Diary","message":"a reminder"}"#;
    assert_eq!(service.ask("POST", PUSH, push).status, 200);
    let [sms, push] = &gateway.sent()[..] else { panic!("{:?}", gateway.sent()) };
    let body = |sent: &Sent| serde_json::from_str::<Value>(&sent.body).unwrap();
    assert_eq!(body(sms), json!({ "id": id, "to": "+4930901820", "text": "a reminder" }));
    let expected =
        json!({ "id": push.id, "platform": "fcm", "token": "one", "title": "Diary", "text": "a reminder" });
    assert_eq!((&sms.id, body(push)), (&id, expected));
    for sent in [sms, push] {
        assert!(sent.head.contains("\r\nauthorization: basic dxnlcjp3b3jk\r\n"), "{sent:?}");
    }
    assert!(!service.stop_and_read().contains("dXNlcjp3b3Jk"));
}

#[test]
fn a_gateway_that_cannot_be_reached_is_told_of_once_with_the_class_of_its_fault() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = RawGateway::start();
    let hangs = TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        // A label that is too long is refused without asking anybody.
        (format!("http://{}.invalid/canary", "x".repeat(70)), "dns"),
        (format!("http://{closed}/canary"), "refused"),
        (format!("https://{closed}/canary"), "refused"),
        (format!("https://{}/canary", plain.address), "tls"),
        (format!("https://{}/canary", Certificate::new().answering()), "tls"),
        (format!("https://{}/canary", hangs.local_addr().unwrap()), "timeout"),
    ];
    for (url, class) in cases {
        let service = Site::sending_to_url(&url).with("APP_SMS__HTTP__TIMEOUT", "2s").start_with_patient();
        // All at once: each of the first attempts finds that it is the first one.
        let ids: Vec<_> = (0..12).map(|_| service.accept()).collect();
        let shown = service.until_attempt(&ids[0], "retry");
        let reason = if class == "timeout" { "connect_timeout" } else { "connect_failed" };
        // The breaker may have opened by now.
        assert!([reason, "breaker_open"].contains(&shown["reason"].as_str().unwrap()), "{url}: {shown}");
        let attempts = || service.metrics().sum("notification_attempts_total", &[("provider", "http")]);
        until_so("all are attempted", || attempts() >= 12);
        let output = service.stop_and_read();
        let told = warnings(&output)
            .into_iter()
            .filter(|line| line.contains(&format!(r#""reason":"{class}"#)))
            .count();
        assert_eq!(told, 1, "{url} {class}: {output}");
        assert!(!output.contains("canary"), "{output}");
    }
}

#[test]
fn a_device_that_is_gone_is_named_and_forgotten() {
    let gateway = RawGateway::start();
    // Fewer a second than the patient has devices: they take all there is.
    let service = Site::new().pushing_to(&gateway.url()).with("APP_PUSH__HTTP__RATE", "1").start();
    service.contact(
        "p-1",
        r#"{"pushTokens":[{"platform":"fcm","token":"one"},{"platform":"ios","token":"two"}]}"#,
    );
    gateway.will(&[Act::Status(410)]);
    let push = r#"{"patientId":"p-1","title":"Diary","message":"a reminder"}"#;
    let answer = service.ask("POST", PUSH, push);
    assert_eq!((answer.status, answer.text("status")), (200, "delivered".to_owned()));
    let shown = service.notification(&answer.text("id"));
    let jobs = shown["jobs"].as_array().unwrap();
    let gone: Vec<_> = jobs.iter().filter(|job| job["reason"] == "token_gone").collect();
    assert_eq!(gone.len(), 1, "{shown}");
    until_so("the device is forgotten", || {
        service.get("/api/v1/patients/p-1").json()["pushTokens"].as_array().unwrap().len() == 1
    });
}

#[test]
fn one_device_belongs_to_the_patient_who_registered_it_last() {
    let gateway = RawGateway::start();
    let service = Site::new().pushing_to(&gateway.url()).start();
    let device = r#"{"pushTokens":[{"platform":"fcm","token":"shared"}]}"#;
    service.contact("p-1", device);
    let later = r#"{"patientId":"p-1","title":"Diary","message":"a reminder","sendAt":"SOON"}"#;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let queued =
        service.ask("POST", "/api/v1/notifications/push/async", &later.replace("SOON", &soon.to_string()));
    // The same token is the same device, whatever its platform is called.
    service.contact("p-2", r#"{"pushTokens":[{"platform":"android","token":"shared"}]}"#);
    assert_eq!(service.get("/api/v1/patients/p-1").json()["pushTokens"], json!([]));
    let twice = r#"{"pushTokens":[{"platform":"fcm","token":"a"},{"platform":"android","token":"a"}]}"#;
    service.ask("PUT", "/api/v1/patients/p-3", twice).problem(422, "invalid");
    let push = |patient: &str| {
        let body = json!({ "patientId": patient, "title": "Diary", "message": "a reminder" });
        service.ask("POST", PUSH, &body.to_string())
    };
    push("p-1").problem(422, "no-contact");
    assert_eq!(push("p-2").status, 200);
    // What was queued for the first patient does not reach the second one.
    assert_eq!(service.until_status(&queued.text("id"), "dead")["reason"], "no_contact");
    assert_eq!(gateway.sent().len(), 1);
}

#[test]
fn a_slow_gateway_of_one_channel_delays_no_other_channel() {
    let (slow, fast) = (RawGateway::start(), RawGateway::start());
    slow.always(Act::Silence);
    let service = Site::sending_to_url(&slow.url())
        .pushing_to(&fast.url())
        .with("APP_SMS__HTTP__TIMEOUT", "10s")
        .with("APP_QUEUE__WORKERS", "4")
        .start();
    service.contact("p-1", r#"{"phone":"+4930901820","pushTokens":[{"platform":"fcm","token":"one"}]}"#);
    (0..40).for_each(|_| drop(service.accept()));
    until_so("all workers of the channel are busy", || slow.sent().len() == 4);
    let push = r#"{"patientId":"p-1","title":"Diary","message":"a reminder"}"#;
    let begun = Instant::now();
    let id = service.ask("POST", "/api/v1/notifications/push/async", push).text("id");
    service.until_status(&id, "delivered");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let busy = |channel| service.metrics().sum("workers_busy", &[("channel", channel)]);
    assert_eq!((busy("sms"), busy("push")), (4, 0));
}
