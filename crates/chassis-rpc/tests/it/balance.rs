//! How calls are shared between endpoints that are all healthy, as far as their probes say.

use crate::server::{Act, Server};
use crate::support::Client;
use std::time::Duration;
use tonic::Code;

/// Makes so many calls, so many at once, and returns how many each server took and how many failed.
async fn shares(servers: &[Server], acts: &[Act], at_once: usize) -> (Vec<usize>, usize) {
    let client = Client::of(servers);
    client.until_all_called(servers).await;
    servers.iter().zip(acts).for_each(|(server, act)| server.always(*act));
    let before: Vec<usize> = servers.iter().map(Server::calls).collect();
    let callers = (0..at_once).map(|_| async {
        let mut failed = 0;
        for _ in 0..900 / at_once {
            failed += usize::from(client.write().await.is_err());
        }
        failed
    });
    let failed = futures_util::future::join_all(callers).await.into_iter().sum();
    let taken = servers.iter().zip(before).map(|(server, before)| server.calls() - before);
    (taken.collect(), failed)
}

#[tokio::test]
async fn equal_endpoints_share_calls() {
    let servers = [Server::start(), Server::start(), Server::start()];
    let (shares, failed) = shares(&servers, &[Act::Answer; 3], 6).await;
    assert_eq!(failed, 0);
    assert!(shares.iter().all(|share| *share > 90), "{shares:?}");
}

// Half of a fair share, and more than is seen, because a busy machine makes all of them slow.
#[tokio::test]
async fn a_slow_endpoint_of_three_gets_clearly_less_than_a_third() {
    let servers = [Server::start(), Server::start(), Server::start()];
    let acts = [Act::Answer, Act::Answer, Act::Slow(Duration::from_millis(100))];
    let (shares, failed) = shares(&servers, &acts, 6).await;
    assert_eq!(failed, 0);
    assert!(shares[2] < 150, "{shares:?}");
}

/// One endpoint answers in 20 ms, the other fails within one.
#[tokio::test]
async fn an_endpoint_that_fails_fast_attracts_no_calls() {
    for code in [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented, Code::Unavailable] {
        let servers = [Server::start(), Server::start()];
        let acts = [Act::Slow(Duration::from_millis(20)), Act::Fail(code)];
        let (shares, failed) = shares(&servers, &acts, 10).await;
        assert!(shares[1] < 45 && failed < 45, "{code:?}: {shares:?}, {failed} failed");
    }
}
