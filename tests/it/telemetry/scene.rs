//! A busy scripted scenario with every kind of answer: each request brings a trace of its caller's own.

use crate::support::prelude::*;
use chassis_test::client::ask_raw;

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The trace that the caller sent.
    pub trace_id: String,
    pub answer: Answer,
}

/// A gateway behind a tap, and a site that sends to it.
pub fn site() -> (Gateway, Tap, Site) {
    let gateway = Gateway::start();
    let tap = Tap::before(gateway.address);
    let site = Site::sending_to_url(&format!("http://{}/send", tap.address))
        .with("APP_SMS__HTTP__TIMEOUT", "1s")
        .with("APP_RETRY__MAX_ATTEMPTS", "3")
        .with("APP_QUEUE__MAX_BACKLOG", "8");
    (gateway, tap, site)
}

/// A caller that sends a new trace with each request.
pub struct Caller<'a> {
    service: &'a Service,
    pub asked: Vec<Asked>,
}

impl<'a> Caller<'a> {
    pub fn of(service: &'a Service) -> Self {
        Self { service, asked: Vec::new() }
    }

    /// Asks, and fails unless the answer has this status.
    pub fn ask(&mut self, method: &str, path: &str, body: &str, status: u16) -> Answer {
        let context = TraceParent::new();
        let header = [("traceparent", &*context.to_string())];
        let answer = self.service.ask_with(method, path, &header, body);
        self.note(context, answer, status)
    }

    /// The same with whole lines of the test's own instead of a body of JSON.
    fn ask_raw(&mut self, head: &str, status: u16) {
        let context = TraceParent::new();
        let request = format!("{head}\r\nhost: localhost\r\ntraceparent: {context}\r\n\r\n");
        let answer = ask_raw(self.service.http, &request).unwrap();
        self.note(context, answer, status);
    }

    fn note(&mut self, context: TraceParent, answer: Answer, status: u16) -> Answer {
        assert_eq!(answer.status, status, "{answer:?}");
        self.asked.push(Asked { trace_id: context.trace_id, answer: answer.clone() });
        answer
    }

    fn accept(&mut self) -> String {
        self.ask("POST", ASYNC, MESSAGE, 202).text("id")
    }
}

/// Plays all of it; afterwards nothing is queued but one that waits for its time.
pub fn play<'a>(service: &'a Service, gateway: &Gateway) -> Caller<'a> {
    let mut caller = Caller::of(service);
    caller.ask("PUT", "/api/v1/patients/p-1", PATIENT, 201);
    let delivered = caller.accept();
    service.until_status(&delivered, "delivered");
    caller.ask("POST", SYNC, MESSAGE, 200);
    refusals(&mut caller);
    people(&mut caller, gateway);
    gateway.behave(r#"{"blackHole":true}"#);
    caller.ask("POST", SYNC, MESSAGE, 504);
    (0..8).for_each(|_| drop(caller.accept()));
    caller.ask("POST", ASYNC, MESSAGE, 503);
    gateway.behave("{}");
    until_so("the black hole is left", || service.ledger().of("queued") == 1);
    caller
}

fn refusals(caller: &mut Caller<'_>) {
    caller.ask("GET", "/api/v1/notifications/nowhere", "", 404);
    caller.ask("GET", "/nowhere?and=nothing", "", 404);
    caller.ask("DELETE", ASYNC, "", 405);
    caller.ask("POST", ASYNC, &"x".repeat(70_000), 413);
    caller.ask_raw(&format!("POST {ASYNC} HTTP/1.1\r\ncontent-type: text/plain\r\ncontent-length: 0"), 415);
    caller.ask("POST", ASYNC, r#"{"patientId""#, 400);
    caller.ask("POST", ASYNC, r#"{"patientId":"p-1","message":"x","nobody":1}"#, 422);
    caller.ask("POST", ASYNC, r#"{"patientId":"p-2","message":"x"}"#, 422);
}

/// Retries, a dead letter and its replay, and what is cancelled in time.
fn people(caller: &mut Caller<'_>, gateway: &Gateway) {
    gateway.behave(r#"{"status":500}"#);
    let dead = caller.accept();
    caller.service.until_status(&dead, "dead");
    caller.ask("POST", SYNC, MESSAGE, 502);
    gateway.behave("{}");
    caller.ask("POST", &format!("/api/v1/dead-letters/{dead}/replay"), "", 202);
    caller.service.until_status(&dead, "delivered");
    let send_at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let later = format!(r#"{{"patientId":"p-1","message":"later","sendAt":"{send_at}"}}"#);
    caller.ask("POST", ASYNC, &later, 202);
    let cancelled = caller.ask("POST", ASYNC, &later, 202).text("id");
    caller.ask("DELETE", &format!("/api/v1/notifications/{cancelled}"), "", 200);
    caller.ask("DELETE", &format!("/api/v1/notifications/{cancelled}"), "", 409);
    caller.ask("GET", &format!("/api/v1/notifications/{cancelled}"), "", 200);
    caller.ask("GET", "/api/v1/dead-letters", "", 200);
}
