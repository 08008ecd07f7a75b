//! Which calls are made again, how often and when; and calls that are held back.

use crate::server::{Act, Attempt, Server};
use crate::support::{Client, DEADLINE, READ, WRITE, nobody, observe, text};
use chassis_rpc::{Refusal, retry_after};
use std::time::Duration;
use tonic::{Code, Request};

const UNAVAILABLE: Act = Act::Fail(Code::Unavailable);

/// A client that has made enough calls for some retries.
async fn saved(server: &Server) -> Client {
    let client = Client::to(&[server.address]);
    for _ in 0..50 {
        client.read().await.unwrap();
    }
    client
}

#[test]
fn a_read_that_could_not_be_answered_is_made_again_with_the_time_that_is_left() {
    let mut attempts = Vec::new();
    let observed = observe(async || {
        let server = Server::start();
        let client = saved(&server).await;
        server.next(&[UNAVAILABLE, UNAVAILABLE]);
        client.read().await.unwrap();
        attempts = server.attempts().split_off(50);
    });
    let limits: Vec<Duration> = attempts.iter().map(Attempt::timeout).collect();
    assert!(limits.len() == 3 && limits.is_sorted_by(|one, next| one >= next), "{limits:?}");
    let [.., first, second, third] = &*observed.attempts() else { panic!() };
    for (before, after) in [(first, second), (second, third)] {
        assert_eq!(after.links.links[0].span_context.span_id(), before.span_context.span_id());
        assert_eq!(after.parent_span_id, observed.caller().span_context.span_id());
    }
    assert_eq!(text(&third.attributes, "attempt"), "3");
    assert_eq!(observed.events("call retried"), ["unavailable"; 2]);
    let retries = [("grpc_method", READ), ("reason", "unavailable")];
    assert_eq!(observed.count("rpc_client_retries_total", &retries), 2);
}

#[test]
fn three_attempts_are_the_most() {
    let observed = observe(async || {
        let server = Server::start();
        let client = saved(&server).await;
        server.always(UNAVAILABLE);
        assert_eq!(client.read().await.unwrap_err().code(), Code::Unavailable);
        assert_eq!(server.calls(), 53);
    });
    assert_eq!(observed.events("retry withheld"), ["attempts"]);
}

#[test]
fn a_write_is_repeated_only_with_an_idempotency_key() {
    observe(async || {
        let server = Server::start();
        let client = saved(&server).await;
        server.next(&[UNAVAILABLE]);
        client.write().await.unwrap_err();
        assert_eq!(server.calls(), 51);
        server.next(&[UNAVAILABLE]);
        let mut request = Request::new("an order".to_owned());
        request.metadata_mut().insert("idempotency-key", "1".parse().unwrap());
        client.send(WRITE, request).await.unwrap();
        assert_eq!(server.calls(), 53);
    });
}

#[test]
fn a_retry_comes_no_sooner_than_the_server_asks_for_and_not_after_the_deadline() {
    let observed = observe(async || {
        let server = Server::start();
        let client = saved(&server).await;
        for wait in [DEADLINE, Duration::MAX] {
            server.next(&[Act::Later(wait)]);
            let status = client.read().await.unwrap_err();
            assert!(retry_after(&status).unwrap() <= Duration::from_secs(3600));
        }
        assert_eq!(server.calls(), 52);
        let wait = Duration::from_millis(300);
        server.next(&[Act::Later(wait)]);
        client.read().await.unwrap();
        let [.., asked, again] = &*server.attempts() else { panic!() };
        assert!(again.at - asked.at >= wait);
    });
    assert_eq!(observed.events("retry withheld"), ["deadline"; 2]);
}

#[test]
fn a_call_that_was_surely_not_sent_goes_elsewhere_whatever_it_is() {
    observe(async || {
        let server = Server::start();
        let client = Client::to(&[nobody(), server.address]);
        for _ in 0..100 {
            client.write().await.unwrap();
        }
        assert_eq!(server.calls(), 100);
    });
}

#[test]
fn a_safe_call_that_one_endpoint_refuses_is_tried_once_on_another() {
    for code in [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented, Code::Internal] {
        let observed = observe(async || {
            let servers = [Server::start(), Server::start()];
            let client = Client::of(&servers);
            client.until_all_called(&servers).await;
            for _ in 0..50 {
                client.read().await.unwrap();
            }
            servers[0].always(Act::Fail(code));
            for _ in 0..50 {
                client.read().await.unwrap();
            }
            servers[1].always(Act::Fail(code));
            let before = servers[0].calls() + servers[1].calls();
            client.read().await.unwrap_err();
            assert_eq!(servers[0].calls() + servers[1].calls() - before, 2);
        });
        assert!(observed.count("rpc_client_retries_total", &[("reason", "other_endpoint")]) >= 1);
    }
}

#[test]
fn nobody_to_call_is_unavailable_and_not_tried_again_and_again() {
    let observed = observe(async || {
        let status = Client::to(&[nobody()]).read().await.unwrap_err();
        assert_eq!((status.code(), Refusal::of(&status)), (Code::Unavailable, Some(Refusal::NoEndpoint)));
    });
    assert_eq!((observed.attempts().len(), observed.events("call refused").len()), (0, 1));
    assert_eq!(observed.count("rpc_client_refused_total", &[("reason", "no_endpoint")]), 1);
}

#[test]
fn of_calls_on_a_broken_connection_only_repeatable_ones_are_made_again() {
    for (method, ends_well) in [(WRITE, false), (READ, true)] {
        observe(async || {
            let mut servers = [Server::start(), Server::start()];
            let client = Client::of(&servers);
            client.until_all_called(&servers).await;
            for _ in 0..50 {
                client.read().await.unwrap();
            }
            servers.iter().for_each(|server| server.next(&[Act::Hang]));
            let before: Vec<usize> = servers.iter().map(Server::calls).collect();
            let kill = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    if let Some(hit) = (0..2).find(|at| servers[*at].calls() > before[*at]) {
                        servers[1 - hit].always(Act::Answer);
                        break servers[hit].kill();
                    }
                }
            };
            let (ended, ()) = tokio::join!(client.call(method, None), kill);
            let ended = ended.map_err(|status| (status.code(), Refusal::of(&status)));
            assert_eq!(ended, if ends_well { Ok(()) } else { Err((Code::Unavailable, None)) }, "{method}");
        });
    }
}

#[test]
fn calls_that_would_be_turned_away_are_not_made_and_other_methods_are_not_held_back() {
    let mut throttled = 0;
    let observed = observe(async || {
        let server = Server::doing(Act::Shed);
        let client = Client::to(&[server.address]);
        for _ in 0..500 {
            let refusal = Refusal::of(&client.read().await.unwrap_err());
            throttled += usize::from(refusal == Some(Refusal::Throttled));
        }
        assert_eq!(server.calls() + throttled, 500);
        server.always(Act::Answer);
        for _ in 0..100 {
            client.write().await.unwrap();
        }
    });
    assert!(throttled > 400, "{throttled}");
    let count = |method| observed.count("rpc_client_throttled_total", &[("grpc_method", method)]);
    assert_eq!((count(READ), count(WRITE)), (throttled as u64, 0));
    assert!(!observed.events("call throttled").is_empty());
}

#[test]
fn the_throttle_forgets_when_the_breaker_closes() {
    observe(async || {
        let server = Server::doing(Act::Shed);
        let client = Client::to(&[server.address]);
        for _ in 0..300 {
            let _ = client.read().await;
        }
        server.always(Act::Fail(Code::Internal));
        while Refusal::of(&client.write().await.unwrap_err()) != Some(Refusal::BreakerOpen) {}
        server.always(Act::Answer);
        while client.write().await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for _ in 0..100 {
            client.read().await.unwrap();
        }
    });
}
