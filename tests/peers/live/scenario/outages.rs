//! Gateway, store and instances go away and come back.

use super::{
    super::{
        caller::{Rpc, message, until_told},
        keys::APP,
        prometheus::now,
        stack::{BACKLOG, Stack},
    },
    deliveries::closed,
    people::pin,
};
use crate::support::locked::Locked;
use chassis_test::{Signal, until_so};
use serde_json::{Value, json};
use std::{thread, time::Duration};
use tonic::Code;

/// As `circuit_breaker_state` numbers them.
const CLOSED: u64 = 0;
const OPEN: u64 = 2;
/// How long the store is held from those who then wait.
const HELD: Duration = Duration::from_secs(1);
/// Who then wait: fewer than the rate limit allows.
const LATE: usize = 15;
const REPORT: &str = "/patients/p-1/latest-report";

pub fn play(stack: &mut Stack) {
    gateway_away(stack);
    store_locked(stack);
    standing_still(stack);
    killed(stack);
    turned_away(stack);
}

/// Nobody listens at the gateway: work piles up until no more is accepted.
fn gateway_away(stack: &mut Stack) {
    stack.gateway.leave();
    for one in &stack.instances {
        let (caller, body) = (one.caller(), message("sms").to_string());
        let refused =
            (0..4 * BACKLOG).any(|_| caller.ask("POST", "/notifications/sms/async", &body).status == 503);
        assert!(refused, "a backlog of {BACKLOG} is the most");
        caller.expect(201, "POST", "/reports", &json!({ "patientId": "p-1", "content": "well" }));
        one.until("circuit_breaker_state", &[("target", "sms")], OPEN);
        caller.expect(503, "POST", "/notifications/sms", &message("sms"));
    }
    stack.gateway.come();
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
    closed(stack);
    for one in &stack.instances {
        until_so("the backlog is gone", || one.count("queue_jobs", &[("state", "ready")]) < 5);
    }
}

/// Another process holds the stores' files.
fn store_locked(stack: &Stack) {
    for one in &stack.instances {
        let held = Locked::new(&one.site);
        let caller = one.caller();
        until_told("the store is down", || {
            caller.ask("POST", "/notifications/sms/async", &message("sms").to_string());
            one.count("store_up", &[]) == 0
        });
        caller.expect(503, "POST", "/reports", &json!({ "patientId": "p-1", "content": "well" }));
        let mut rpc = Rpc::of(one.service().grpc, &stack.files, APP);
        assert_eq!(rpc.submit("p-1", "well"), Code::Unavailable);
        // The outage has to last until it is scraped.
        let down = format!("store_up{{instance=\"{}\"}} == 0", one.instance);
        until_so("the outage is scraped", || {
            stack.prometheus.instant(&down, now()).is_ok_and(|found| !found.is_empty())
        });
        drop(held);
        one.until("store_up", &[], 1);
    }
}

/// Many accepts at once wait for a store that another process holds for a moment: all are kept, late.
pub fn slow_accepts(stack: &Stack) {
    for one in &stack.instances {
        let caller = one.caller();
        let held = Locked::new(&one.site);
        thread::scope(|scope| {
            for _ in 0..LATE {
                scope.spawn(|| caller.accept("sms", "normal", &Value::Null));
            }
            // Longer than the objective's threshold, shorter than the store waits.
            thread::sleep(HELD);
            drop(held);
        });
    }
}

/// Both instances stand still: ctms answers from memory, or not at all.
fn standing_still(stack: &Stack) {
    let signal = |signal| stack.instances.iter().for_each(|one| one.service().signal(signal));
    let ctms = stack.ctms.caller();
    assert_eq!(ctms.ask("GET", REPORT, "").status, 200);
    signal(Signal::STOP);
    until_told("the breaker opens", || {
        ctms.ask("GET", REPORT, "");
        stack.ctms.count("circuit_breaker_state", &[]) == OPEN
    });
    ctms.expect(503, "GET", "/patients/p-8/latest-report", &Value::Null);
    until_told("a report is told from memory", || {
        ctms.ask("GET", REPORT, "");
        stack.ctms.count("ctms_report_answers_total", &[("source", "cache")]) > 0
    });
    signal(Signal::CONT);
    until_so("the breaker closes", || stack.ctms.count("circuit_breaker_state", &[]) == CLOSED);
}

/// Both are killed in the middle of an attempt, one after the other, and started again.
fn killed(stack: &mut Stack) {
    stack.gateway.behave(r#"{"blackHole":true}"#);
    for number in 0..stack.instances.len() {
        let before = stack.gateway.arrivals().len();
        stack.instances[number].caller().accept("sms", "urgent", &Value::Null);
        stack.gateway.has_received(before + 1);
        stack.instances[number].kill();
        let ctms = stack.ctms.caller();
        until_told("ctms notices", || {
            ctms.ask("GET", REPORT, "");
            stack.ctms.count("rpc_client_endpoints", &[("state", "down")]) > 0
        });
        stack.instances[number].start_again();
        stack.instances[number].until_counted("queue_recovered_jobs_total", &[]);
        stack.ctms.until("rpc_client_endpoints", &[("state", "up")], 2);
    }
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
    closed(stack);
}

/// The instances turn ctms away to spare themselves, until it asks less by itself.
fn turned_away(stack: &Stack) {
    stack.instances.iter().for_each(|one| pin(one, json!(3)));
    let ctms = stack.ctms.caller();
    until_told("ctms holds back", || {
        (0..20).for_each(|_| drop(ctms.ask("GET", REPORT, "")));
        stack.ctms.count("rpc_client_throttled_total", &[]) > 0
    });
    for one in &stack.instances {
        pin(one, json!("auto"));
        one.until("degradation_level", &[], 0);
    }
}
