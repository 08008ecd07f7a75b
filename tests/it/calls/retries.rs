//! Which calls are made again, how often, and when.

use super::{DEADLINE, client, text, told_of};
use crate::support::scripted::{Act, Attempt, READ, Scripted, WRITE, Wire, ask};
use epro_notify::platform::grpc::client::{Call, CallError, Client};
use std::{net::SocketAddr, time::Duration};
use tonic::Code;

const UNAVAILABLE: Act = Act::Fail(Code::Unavailable);

/// A client that has made enough calls for some retries.
async fn saved(other: &Scripted) -> Client {
    let client = client(&[other.address]);
    for _ in 0..50 {
        ask(&client, READ, None).await.unwrap();
    }
    client
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_read_that_nobody_could_answer_is_made_again() {
    let mut attempts = Vec::new();
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = saved(&other).await;
        other.next(&[UNAVAILABLE, UNAVAILABLE]);
        ask(&client, READ, None).await.unwrap();
        attempts = other.attempts().split_off(50);
    });
    let timeouts: Vec<Duration> = attempts.iter().map(Attempt::timeout).collect();
    assert!(timeouts.len() == 3 && timeouts.is_sorted_by(|one, next| one > next), "{timeouts:?}");
    let [.., first, second, third] = &*told.attempts() else { panic!() };
    assert_eq!((&second.links[0].span_id, &third.links[0].span_id), (&first.span_id, &second.span_id));
    assert!([first, second, third].iter().all(|span| span.parent_span_id == told.caller().span_id));
    assert_eq!(text(&third.attributes, "attempt"), "3");
    assert_eq!(told.events("call retried"), ["unavailable"; 2]);
    assert_eq!(
        told.count("rpc_client_retries_total", &[("grpc_method", "Read"), ("reason", "unavailable")]),
        2
    );
}

#[test]
fn three_attempts_are_the_most() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = saved(&other).await;
        other.always(UNAVAILABLE);
        let error = ask(&client, READ, None).await.unwrap_err();
        assert!(matches!(error, CallError::Failed(status) if status.code() == Code::Unavailable));
        assert_eq!(other.attempts().len(), 53);
    });
    assert_eq!(told.events("retry withheld"), ["attempts"]);
}

#[test]
fn what_must_not_be_repeated_is_not() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = saved(&other).await;
        other.next(&[UNAVAILABLE]);
        ask(&client, WRITE, None).await.unwrap_err();
        assert_eq!(other.attempts().len(), 51);
    });
}

#[test]
fn neither_an_answer_nor_what_was_shed_nor_lost_time_is_asked_for_again() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = saved(&other).await;
        let acts = [
            Act::Fail(Code::NotFound),
            Act::Fail(Code::Internal),
            Act::Fail(Code::DeadlineExceeded),
            Act::Fail(Code::ResourceExhausted),
            Act::Shed,
        ];
        for act in acts {
            other.next(&[act]);
            ask(&client, READ, None).await.unwrap_err();
        }
        assert_eq!(other.attempts().len(), 50 + acts.len());
    });
}

#[test]
fn a_retry_that_would_come_after_the_deadline_or_sooner_than_is_asked_for_is_withheld() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = saved(&other).await;
        other.next(&[Act::Later(DEADLINE)]);
        ask(&client, READ, None).await.unwrap_err();
        assert_eq!(other.attempts().len(), 51);
        let wish = Duration::from_millis(300);
        other.next(&[Act::Later(wish)]);
        ask(&client, READ, None).await.unwrap();
        let [.., asked, again] = &*other.attempts() else { panic!() };
        assert!(again.at - asked.at >= wish);
    });
    assert_eq!(told.events("retry withheld"), ["deadline"]);
}

#[test]
fn attempts_stay_under_1_1_for_each_call_when_all_fail_also_at_low_rates() {
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        other.always(UNAVAILABLE);
        let mut made = 0;
        for calls in 1..=40 {
            made += usize::from(!matches!(ask(&client, READ, None).await, Err(CallError::BreakerOpen)));
            let attempts = other.attempts().len();
            assert!(attempts * 10 < made * 11, "{attempts} attempts for {made} of {calls} calls");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(made >= 4, "{made}");
    });
    assert!(told.count("rpc_client_retries_withheld_total", &[("reason", "budget")]) > 0);
}

#[test]
fn attempts_stay_under_1_1_for_each_call_when_every_third_fails() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        for calls in 1..=600 {
            if calls % 3 == 0 {
                other.next(&[UNAVAILABLE]);
            }
            let _ = ask(&client, READ, None).await;
            let attempts = other.attempts().len();
            assert!(attempts * 10 < calls * 11, "{attempts} attempts for {calls} calls");
        }
        // It is used, too.
        assert!(other.attempts().len() > 630);
    });
}

#[test]
fn what_was_surely_not_sent_goes_elsewhere_whatever_it_is() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[nobody(), other.address]);
        for _ in 0..100 {
            ask(&client, WRITE, None).await.unwrap();
        }
        assert_eq!(other.attempts().len(), 100);
    });
}

#[test]
fn nobody_to_call_is_unavailable_and_not_called_again_and_again() {
    let told = told_of(async || {
        let client = client(&[nobody()]);
        let error = ask(&client, READ, None).await.unwrap_err();
        assert!(matches!(error, CallError::Failed(status) if status.code() == Code::Unavailable));
    });
    assert_eq!((told.attempts().len(), told.events("call retried").len()), (1, 0));
}

/// A call on a wire that is cut: how it ended, and how many attempts there were.
fn over_a_cut_wire(call: Call) -> (Result<(), CallError>, usize) {
    let mut end = None;
    told_of(async || {
        let other = Scripted::start().await;
        let wire = Wire::to(other.address).await;
        let client = client(&[wire.address]);
        for _ in 0..50 {
            ask(&client, READ, None).await.unwrap();
        }
        other.next(&[Act::Hang]);
        let cut = async {
            while other.attempts().len() < 51 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            wire.cut();
        };
        let (ended, ()) = tokio::join!(ask(&client, call, None), cut);
        end = Some((ended, other.attempts().len()));
    });
    end.unwrap()
}

#[test]
fn a_broken_connection_is_unavailable_and_only_what_is_repeatable_is_made_again() {
    let (ended, attempts) = over_a_cut_wire(WRITE);
    assert!(matches!(ended, Err(CallError::Failed(status)) if status.code() == Code::Unavailable));
    assert_eq!(attempts, 51);
    let (ended, attempts) = over_a_cut_wire(READ);
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(attempts, 52);
}
