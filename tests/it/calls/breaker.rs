//! When the breaker opens and closes, seen from both sides.

use super::{DEADLINE, client, told_of};
use crate::support::scripted::{Act, READ, Scripted, WRITE, ask};
use epro_notify::platform::{
    grpc::client::{CallError, Client},
    resilience::breaker::State,
};
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);
/// Between two calls of a caller that keeps asking.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks until the breaker is in a state, and tells how long that took; others go on asking meanwhile.
async fn until(client: &Client, state: State) -> Duration {
    let begun = Instant::now();
    let mut calls = Vec::new();
    while client.state() != state {
        assert!(begun.elapsed() < 30 * SECOND, "not {state:?}");
        let client = client.clone();
        calls.push(tokio::spawn(async move { drop(ask(&client, WRITE, None).await) }));
        sleep(PAUSE).await;
    }
    let took = begun.elapsed();
    join_all(calls).await;
    took
}

async fn opened_by(other: &Scripted, client: &Client) {
    other.always(Act::Fail(Code::Internal));
    until(client, State::Open).await;
}

#[test]
fn it_opens_within_a_second_when_all_fail_and_closes_within_two_of_the_return() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        ask(&client, READ, None).await.unwrap();
        other.always(Act::Fail(Code::Unavailable));
        assert!(until(&client, State::Open).await < SECOND);
        let refused = ask(&client, READ, None).await.unwrap_err();
        assert!(matches!(refused, CallError::BreakerOpen));
        sleep(2 * SECOND).await;
        other.always(Act::Answer);
        assert!(until(&client, State::Closed).await < 2 * SECOND);
    });
    let to = |to| told.count("circuit_breaker_transitions_total", &[("target", "other"), ("to", to)]);
    assert!(to("open") >= 1 && to("half_open") >= 1);
    assert_eq!((to("closed"), told.count("circuit_breaker_state", &[("target", "other")])), (1, 0));
    assert!(
        told.count("rpc_client_refused_total", &[("grpc_method", "Read"), ("reason", "breaker_open")]) >= 1
    );
    assert!(told.events("call refused").contains(&"breaker_open".to_owned()));
    assert_eq!(told.lines("WARN").len(), 1, "{:?}", told.lines("WARN"));
    assert!(told.lines("INFO").contains(&"the circuit breaker closes"));
}

#[test]
fn a_side_that_hangs_opens_it_before_the_first_call_has_run_out() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        ask(&client, READ, None).await.unwrap();
        other.always(Act::Hang);
        let begun = Instant::now();
        let calls = join_all((0..20).map(|_| ask(&client, READ, None)));
        let opened = async {
            while client.state() == State::Closed {
                sleep(Duration::from_millis(5)).await;
            }
            begun.elapsed()
        };
        let (ended, opened) = tokio::join!(calls, opened);
        assert!(opened < SECOND, "{opened:?}");
        assert!(begun.elapsed() >= DEADLINE);
        assert!(ended.iter().all(|end| matches!(end, Err(CallError::Deadline))));
    });
}

#[test]
fn one_probe_at_a_time_is_let_through() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        opened_by(&other, &client).await;
        let before = other.attempts().len();
        other.always(Act::Hang);
        other.most_in_flight();
        // Fifty ask all the time for three seconds.
        let begun = Instant::now();
        join_all((0..50).map(|_| async {
            while begun.elapsed() < 3 * SECOND {
                let _ = ask(&client, READ, None).await;
                sleep(Duration::from_millis(10)).await;
            }
        }))
        .await;
        assert_eq!(other.most_in_flight(), 1);
        // A second's rest and half a second's probe, in turns.
        let probes = other.attempts().len() - before;
        assert!((1..=3).contains(&probes), "{probes}");
    });
}

#[test]
fn a_probe_whose_caller_leaves_leaves_its_place() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        opened_by(&other, &client).await;
        other.always(Act::Hang);
        sleep(SECOND).await;
        let probe = tokio::time::timeout(PAUSE, ask(&client, READ, None)).await;
        assert!(probe.is_err());
        assert_eq!(client.state(), State::HalfOpen);
        other.always(Act::Answer);
        ask(&client, READ, None).await.unwrap();
        assert_eq!(client.state(), State::Closed);
    });
}

/// So many calls at once, each of which ends as told: the breaker is what it was.
fn never_opens(act: Act, deadline: Option<Duration>) {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        other.always(act);
        for _ in 0..20 {
            join_all((0..5).map(|_| ask(&client, WRITE, deadline))).await;
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(client.state(), State::Closed, "{act:?}");
    });
}

#[test]
fn an_answer_that_is_an_error_of_the_callers_never_opens_it() {
    for code in [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied, Code::Aborted] {
        never_opens(Act::Fail(code), None);
    }
}

#[test]
fn what_is_shed_limited_or_cancelled_never_opens_it() {
    for act in [Act::Shed, Act::Fail(Code::ResourceExhausted), Act::Fail(Code::Cancelled)] {
        never_opens(act, None);
    }
}

#[test]
fn callers_with_little_time_never_open_it() {
    never_opens(Act::Slow(PAUSE), Some(Duration::from_millis(20)));
}

#[test]
fn callers_that_leave_never_open_it() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        other.always(Act::Hang);
        for _ in 0..10 {
            let calls = join_all((0..5).map(|_| ask(&client, READ, None)));
            assert!(tokio::time::timeout(Duration::from_millis(50), calls).await.is_err());
        }
        assert_eq!(client.state(), State::Closed);
        assert!(!other.attempts().is_empty());
    });
}

#[test]
fn nothing_is_made_again_while_it_is_not_closed() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        for _ in 0..50 {
            ask(&client, READ, None).await.unwrap();
        }
        opened_by(&other, &client).await;
        other.always(Act::Fail(Code::Unavailable));
        sleep(SECOND).await;
        let before = other.attempts().len();
        ask(&client, READ, None).await.unwrap_err();
        assert_eq!(other.attempts().len(), before + 1);
    });
    assert_eq!(told.events("retry withheld"), ["breaker_open"]);
}
