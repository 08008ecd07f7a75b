//! When the breaker opens and closes, seen from both sides.

use crate::server::{Act, Server};
use crate::support::{Client, DEADLINE, READ, WRITE, observe};
use chassis_resilience::State;
use chassis_rpc::Refusal;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};
use tonic::Code;

const SECOND: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(100);

/// Calls ten times a second until the breaker is in a state, and returns how long that took.
async fn until(client: &Client, state: State) -> Duration {
    let began = Instant::now();
    let mut calls = FuturesUnordered::new();
    while client.channel.breaker() != state {
        assert!(began.elapsed() < 30 * SECOND, "not {state:?}");
        calls.push(client.write());
        let all = async { while calls.next().await.is_some() {} };
        tokio::join!(sleep(PAUSE), timeout(PAUSE, all)).1.ok();
    }
    began.elapsed()
}

async fn open(server: &Server, client: &Client) {
    server.always(Act::Fail(Code::Internal));
    until(client, State::Open).await;
}

#[test]
fn it_opens_within_a_second_when_all_fail_and_closes_within_two_of_the_return() {
    let observed = observe(async || {
        let server = Server::start();
        let client = Client::to(&[server.address]);
        client.read().await.unwrap();
        server.always(Act::Fail(Code::Unavailable));
        assert!(until(&client, State::Open).await < SECOND);
        let status = client.read().await.unwrap_err();
        assert_eq!((status.code(), Refusal::of(&status)), (Code::Unavailable, Some(Refusal::BreakerOpen)));
        sleep(2 * SECOND).await;
        server.always(Act::Answer);
        assert!(until(&client, State::Closed).await < 2 * SECOND);
    });
    let to = |to| observed.count("circuit_breaker_transitions_total", &[("target", "other"), ("to", to)]);
    assert!(to("open") >= 1 && to("half_open") >= 1);
    assert_eq!((to("closed"), observed.count("circuit_breaker_state", &[("target", "other")])), (1, 0));
    let refused = [("grpc_method", READ), ("reason", "breaker_open")];
    assert!(observed.count("rpc_client_refused_total", &refused) >= 1);
    assert!(observed.events("call refused").contains(&"breaker_open".to_owned()));
    assert_eq!(observed.lines("WARN").len(), 1, "{:?}", observed.lines("WARN"));
    assert!(observed.lines("INFO").contains(&"circuit breaker closes"));
}

#[test]
fn a_server_that_hangs_opens_it_before_the_first_call_has_run_out_of_time() {
    observe(async || {
        let server = Server::start();
        let client = Client::to(&[server.address]);
        client.read().await.unwrap();
        server.always(Act::Hang);
        let began = Instant::now();
        let calls = join_all((0..20).map(|_| client.read()));
        let opened = async {
            while client.channel.breaker() == State::Closed {
                sleep(Duration::from_millis(5)).await;
            }
            began.elapsed()
        };
        let (ended, opened) = tokio::join!(calls, opened);
        assert!(opened < SECOND, "{opened:?}");
        assert!(began.elapsed() >= DEADLINE);
        assert!(ended.iter().all(|end| end.as_ref().unwrap_err().code() == Code::DeadlineExceeded));
    });
}

#[test]
fn one_probe_at_a_time_is_let_through() {
    observe(async || {
        let server = Server::start();
        let client = Client::to(&[server.address]);
        open(&server, &client).await;
        let before = server.calls();
        server.always(Act::Hang);
        server.most_in_flight();
        let began = Instant::now();
        join_all((0..50).map(|_| async {
            while began.elapsed() < 3 * SECOND {
                let _ = client.read().await;
                sleep(Duration::from_millis(10)).await;
            }
        }))
        .await;
        assert_eq!(server.most_in_flight(), 1);
        // A second open and half a second of a probe, in turns.
        let probes = server.calls() - before;
        assert!((1..=3).contains(&probes), "{probes}");
    });
}

#[test]
fn a_probe_whose_caller_leaves_makes_room_for_the_next() {
    observe(async || {
        let server = Server::start();
        let client = Client::to(&[server.address]);
        open(&server, &client).await;
        server.always(Act::Hang);
        sleep(SECOND).await;
        assert!(timeout(PAUSE, client.read()).await.is_err());
        assert_eq!(client.channel.breaker(), State::HalfOpen);
        server.always(Act::Answer);
        client.read().await.unwrap();
        assert_eq!(client.channel.breaker(), State::Closed);
    });
}

/// Calls that all end like this leave the breaker closed.
fn never_opens(act: Act, deadline: Option<Duration>) {
    observe(async || {
        let server = Server::doing(act);
        let client = Client::to(&[server.address]);
        for _ in 0..20 {
            join_all((0..5).map(|_| client.call(WRITE, deadline))).await;
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(client.channel.breaker(), State::Closed, "{act:?}");
    });
}

#[test]
fn neither_the_callers_errors_nor_what_is_shed_limited_or_cancelled_opens_it() {
    let answers = [Code::NotFound, Code::InvalidArgument, Code::PermissionDenied, Code::Aborted];
    let silent = [Code::ResourceExhausted, Code::Cancelled];
    for act in answers.into_iter().chain(silent).map(Act::Fail).chain([Act::Shed]) {
        never_opens(act, None);
    }
}

#[test]
fn callers_with_little_time_never_open_it() {
    never_opens(Act::Slow(PAUSE), Some(Duration::from_millis(20)));
}

#[test]
fn callers_that_leave_never_open_it() {
    observe(async || {
        let server = Server::doing(Act::Hang);
        let client = Client::to(&[server.address]);
        for _ in 0..10 {
            let calls = join_all((0..5).map(|_| client.read()));
            assert!(timeout(Duration::from_millis(50), calls).await.is_err());
        }
        assert_eq!(client.channel.breaker(), State::Closed);
        assert!(server.calls() > 0);
    });
}

#[test]
fn nothing_is_retried_while_it_is_not_closed() {
    let observed = observe(async || {
        let server = Server::start();
        let client = Client::to(&[server.address]);
        for _ in 0..50 {
            client.read().await.unwrap();
        }
        open(&server, &client).await;
        server.always(Act::Fail(Code::Unavailable));
        sleep(SECOND).await;
        let before = server.calls();
        client.read().await.unwrap_err();
        assert_eq!(server.calls(), before + 1);
    });
    assert_eq!(observed.events("retry withheld"), ["breaker_open"]);
}
