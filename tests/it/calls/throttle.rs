//! Calls that are not made, to spare the other side.

use super::{client, told_of};
use crate::support::scripted::{Act, READ, Scripted, WRITE, ask};
use epro_notify::platform::grpc::client::CallError;
use tonic::Code;

#[test]
fn calls_that_would_be_turned_away_are_not_made_and_other_methods_are_not_held_back() {
    let mut throttled = 0;
    let told = told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        other.always(Act::Shed);
        for _ in 0..500 {
            let ended = ask(&client, READ, None).await;
            throttled += u64::from(matches!(ended, Err(CallError::Throttled)));
        }
        assert_eq!(other.attempts().len() as u64 + throttled, 500);
        other.always(Act::Answer);
        for _ in 0..100 {
            ask(&client, WRITE, None).await.unwrap();
        }
    });
    assert!(throttled > 400, "{throttled}");
    assert_eq!(told.count("rpc_client_throttled_total", &[("grpc_method", "Read")]), throttled);
    assert_eq!(told.count("rpc_client_throttled_total", &[("grpc_method", "Write")]), 0);
    assert!(!told.events("call throttled").is_empty());
}

#[test]
fn an_answer_that_is_no_refusal_throttles_nothing() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        other.always(Act::Fail(Code::NotFound));
        for _ in 0..300 {
            assert!(matches!(ask(&client, READ, None).await, Err(CallError::Failed(_))));
        }
    });
}

#[test]
fn it_is_forgotten_when_the_breaker_closes() {
    told_of(async || {
        let other = Scripted::start().await;
        let client = client(&[other.address]);
        other.always(Act::Shed);
        for _ in 0..300 {
            let _ = ask(&client, READ, None).await;
        }
        other.always(Act::Fail(Code::Internal));
        while !matches!(ask(&client, WRITE, None).await, Err(CallError::BreakerOpen)) {}
        other.always(Act::Answer);
        while ask(&client, WRITE, None).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        for _ in 0..100 {
            ask(&client, READ, None).await.unwrap();
        }
    });
}
