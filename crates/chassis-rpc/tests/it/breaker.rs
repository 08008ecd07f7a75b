//! When the breaker opens and closes, seen from both sides.

use crate::server::{Act, Server};
use crate::support::{Client, READ, WRITE, observe};
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

#[test]
fn callers_with_little_time_and_those_that_leave_never_open_it() {
    let little = Duration::from_millis(20);
    for (act, deadline, patience) in
        [(Act::Slow(PAUSE), Some(little), SECOND), (Act::Hang, None, Duration::from_millis(50))]
    {
        observe(async || {
            let server = Server::doing(act);
            let client = Client::to(&[server.address]);
            for _ in 0..10 {
                let calls = join_all((0..5).map(|_| client.call(WRITE, deadline)));
                assert_eq!(timeout(patience, calls).await.is_err(), deadline.is_none(), "{act:?}");
            }
            assert_eq!(client.channel.breaker(), State::Closed, "{act:?}");
            assert!(server.calls() > 0);
        });
    }
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
