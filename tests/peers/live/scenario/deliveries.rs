//! Every way that a notification can go, for each channel and priority.

use super::super::{
    caller::{message, until_told},
    stack::{Member, Stack},
};
use chassis_test::until_so;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const CHANNELS: [&str; 2] = ["sms", "push"];
const PRIORITIES: [&str; 3] = ["urgent", "normal", "bulk"];
/// As `circuit_breaker_state` numbers it.
const OPEN: u64 = 2;

pub fn play(stack: &Stack) {
    delivered(stack);
    dead(stack);
    expired(stack);
    cancelled(stack);
    unknown(stack);
    retried(stack);
}

/// One of each on each instance, and their ids.
fn each(stack: &Stack, more: impl Fn() -> Value) -> Vec<(&Member, Vec<String>)> {
    let of = |one: &Member| {
        let caller = one.caller();
        let all = CHANNELS.into_iter().flat_map(|channel| PRIORITIES.map(|priority| (channel, priority)));
        all.map(|(channel, priority)| caller.accept(channel, priority, &more())).collect()
    };
    stack.instances.iter().map(|one| (one, of(one))).collect()
}

fn until_all(sent: &[(&Member, Vec<String>)], status: &str) {
    sent.iter().for_each(|(one, ids)| one.caller().until_all(ids, status));
}

fn now(stack: &Stack, status: u16) {
    for one in &stack.instances {
        for channel in CHANNELS {
            let body = message(channel);
            one.caller().expect(status, "POST", &format!("/notifications/{channel}"), &body);
        }
    }
}

fn delivered(stack: &Stack) {
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
    until_all(&each(stack, || Value::Null), "delivered");
    now(stack, 200);
}

/// A gateway that takes none of them; one of each instance is sent again then.
fn dead(stack: &Stack) {
    stack.gateway.behave(r#"{"status":400}"#);
    let sent = each(stack, || Value::Null);
    until_all(&sent, "dead");
    now(stack, 502);
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
    for (one, ids) in &sent {
        one.caller().get("/dead-letters");
        one.caller().expect(202, "POST", &format!("/dead-letters/{}/replay", ids[0]), &Value::Null);
        one.caller().until_all(&ids[..1], "delivered");
    }
}

/// A gateway that puts them off until it is too late.
fn expired(stack: &Stack) {
    stack.gateway.behave(r#"{"status":429}"#);
    let soon = || (Timestamp::now() + SignedDuration::from_secs(3)).to_string();
    until_all(&each(stack, || json!({ "notAfter": soon() })), "expired");
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
}

fn cancelled(stack: &Stack) {
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let sent = each(stack, || json!({ "sendAt": later.to_string() }));
    // They are scheduled for long enough to be seen.
    for (one, ids) in &sent {
        until_so("they are scheduled", || {
            one.count("queue_jobs", &[("state", "scheduled")]) >= ids.len() as u64
        });
    }
    for (one, ids) in &sent {
        for id in ids {
            one.caller().expect(200, "DELETE", &format!("/notifications/{id}"), &Value::Null);
        }
    }
}

/// A gateway that does not answer: nobody knows what it did. A person decides on two.
fn unknown(stack: &Stack) {
    stack.gateway.behave(r#"{"blackHole":true}"#);
    let sent = each(stack, || Value::Null);
    until_all(&sent, "unknown");
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
    for (one, ids) in &sent {
        let caller = one.caller();
        caller.get("/dead-letters?status=unknown");
        for (id, verdict) in [(&ids[0], "delivered"), (&ids[1], "dead")] {
            let path = format!("/notifications/{id}/resolve");
            caller.expect(200, "POST", &path, &json!({ "status": verdict }));
        }
    }
    closed(stack);
}

/// A gateway that fails until its breakers open, and comes back.
fn retried(stack: &Stack) {
    stack.gateway.behave(r#"{"status":503}"#);
    let sent = each(stack, || Value::Null);
    for (one, _) in &sent {
        for channel in CHANNELS {
            one.until("circuit_breaker_state", &[("target", channel)], OPEN);
            one.until_counted("notification_attempts_total", &[("channel", channel), ("outcome", "parked")]);
        }
    }
    stack.gateway.behave(r#"{"latency":"10ms"}"#);
    until_all(&sent, "delivered");
    closed(stack);
}

/// Waits until both gateways are called again.
pub fn closed(stack: &Stack) {
    for one in &stack.instances {
        for channel in CHANNELS {
            until_told("the breaker closes", || {
                one.caller().ask(
                    "POST",
                    &format!("/notifications/{channel}/async"),
                    &message(channel).to_string(),
                );
                one.count("circuit_breaker_state", &[("target", channel)]) == 0
            });
        }
    }
}
