//! Endpoints that die, hang, say that they do not serve, and come back.

use super::{BACK, LONG, OFF, call, open, target, until_all_called, until_called};
use crate::support::instance::{Behaviour, Instance};
use epro_notify::platform::grpc::client::{Channel, ChannelError, Unanswered};
use std::time::{Duration, Instant};
use tonic::{Code, Status};

const NOT_SERVING: Behaviour =
    Behaviour { delay: Duration::ZERO, fails: false, says_not_serving: true, without_health: false };
const SERVING: Behaviour = Behaviour { says_not_serving: false, ..NOT_SERVING };

fn three() -> [Instance; 3] {
    [Instance::start(), Instance::start(), Instance::start()]
}

/// Calls from several sides for a while, and returns what failed.
async fn failures(channel: &Channel, time: Duration) -> Vec<Status> {
    let end = Instant::now() + time;
    let callers = (0..4).map(|_| async {
        let mut failed = Vec::new();
        while Instant::now() < end {
            failed.extend(call(channel).await.err());
        }
        failed
    });
    futures_util::future::join_all(callers).await.concat()
}

/// The same, where their number will do.
async fn call_for(channel: &Channel, time: Duration) -> usize {
    failures(channel, time).await.len()
}

#[tokio::test]
async fn a_killed_endpoint_costs_no_more_than_the_calls_in_flight_and_comes_back() {
    let mut instances = three();
    let channel = open(&instances);
    until_all_called(&channel, &instances).await;
    instances[0].kill();
    // Four are in flight at once; each may be met once more while it is found out.
    let failed = call_for(&channel, OFF).await;
    assert!(failed <= 8, "{failed} failed");
    assert_eq!(call_for(&channel, OFF).await, 0);
    instances[0].start_again();
    until_called(&channel, &instances[0], BACK).await;
    assert_eq!(call_for(&channel, Duration::from_millis(300)).await, 0);
}

#[tokio::test]
async fn a_hanging_endpoint_is_left_within_a_second_and_comes_back() {
    let instances = three();
    let channel = open(&instances);
    until_all_called(&channel, &instances).await;
    let resume = instances[1].hang();
    tokio::time::sleep(OFF).await;
    let before = instances[1].calls();
    assert_eq!(call_for(&channel, OFF).await, 0);
    drop(resume);
    until_called(&channel, &instances[1], BACK).await;
    assert!(instances[1].calls() >= before);
}

#[tokio::test]
async fn an_endpoint_that_says_it_does_not_serve_is_left_until_it_does() {
    let instances = three();
    let channel = open(&instances);
    until_all_called(&channel, &instances).await;
    instances[2].behave(NOT_SERVING);
    tokio::time::sleep(OFF).await;
    let before = instances[2].calls();
    assert_eq!(call_for(&channel, Duration::from_millis(300)).await, 0);
    assert_eq!(instances[2].calls(), before);
    instances[2].behave(SERVING);
    until_called(&channel, &instances[2], BACK).await;
}

#[tokio::test]
async fn a_server_that_stops_in_order_loses_no_call_that_was_sent_to_it() {
    let instances = three();
    let channel = open(&instances);
    until_all_called(&channel, &instances).await;
    let (failed, ()) = tokio::join!(failures(&channel, OFF), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        instances[0].stop();
    });
    let unsent = |status: &Status| ChannelError::of(status).is_some_and(ChannelError::is_unsent);
    assert!(failed.iter().all(unsent), "{failed:?}");
    let before = instances[0].calls();
    assert_eq!(call_for(&channel, Duration::from_millis(300)).await, 0);
    assert_eq!(instances[0].calls(), before);
}

#[tokio::test]
async fn an_endpoint_without_a_health_service_takes_calls_while_its_connection_works() {
    let mut instances = [Instance::behaving(Behaviour { without_health: true, ..SERVING })];
    let channel = open(&instances);
    call(&channel).await.unwrap();
    tokio::time::sleep(OFF).await;
    call(&channel).await.unwrap();
    instances[0].kill();
    let began = Instant::now();
    while call(&channel).await.is_err_and(|status| status.message() != "no healthy endpoint") {
        assert!(began.elapsed() < OFF);
    }
}

#[tokio::test]
async fn a_slow_health_service_is_forgiven_where_calls_are_answered() {
    // It hangs for longer than a probe waits, but not for good: what is answered in between counts.
    let instances = [Instance::start()];
    let channel = open(&instances);
    call(&channel).await.unwrap();
    let resume = instances[0].hang();
    let pending = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(resume);
    tokio::time::timeout(LONG, pending).await.unwrap().unwrap().unwrap();
    call(&channel).await.unwrap();
}

#[tokio::test]
async fn with_every_endpoint_down_a_call_fails_at_once_and_says_why() {
    let mut instances = [Instance::start(), Instance::behaving(NOT_SERVING)];
    instances[0].kill();
    let channel = Channel::open("test", &target(&instances)).unwrap();
    // The first one waits for the first verdicts, which are there before the second is over.
    let status = call(&channel).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "no healthy endpoint"));
    let error = ChannelError::of(&status).unwrap();
    assert!(error.what() == Unanswered::NoEndpoint && error.is_unsent());
    instances[1].behave(SERVING);
    until_called(&channel, &instances[1], BACK).await;
    call(&channel).await.unwrap();
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_not_taken_for_unsent() {
    let mut instances = [Instance::behaving(Behaviour { delay: LONG, ..SERVING })];
    let channel = open(&instances);
    let cut = tokio::spawn({
        let channel = channel.clone();
        async move { call(&channel).await }
    });
    while instances[0].calls() == 0 {
        tokio::task::yield_now().await;
    }
    instances[0].kill();
    let status = tokio::time::timeout(LONG, cut).await.unwrap().unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(ChannelError::of(&status).unwrap().what(), Unanswered::Sent, "{status:?}");
}
