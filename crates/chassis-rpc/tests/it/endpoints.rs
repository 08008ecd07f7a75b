//! Endpoints that drain, fail, say that they do not serve, and come back; and what a channel keeps going.

use crate::server::{Act, Options, Server};
use crate::support::{BACK, Client, LONG, OFF, nobody, observe};
use chassis_rpc::{Channel, ClientConfig, Refusal};
use conf::Conf;
use futures_util::future::join_all;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tonic::Code;

const SHORT: Duration = Duration::from_millis(300);

fn three() -> [Server; 3] {
    [Server::start(), Server::start(), Server::start()]
}

#[tokio::test]
async fn an_endpoint_that_says_it_does_not_serve_is_left_until_it_does() {
    let servers = three();
    let client = Client::of(&servers);
    client.until_all_called(&servers).await;
    servers[2].serves(false);
    sleep(OFF).await;
    let before = servers[2].calls();
    assert!(client.failures(SHORT).await.is_empty());
    assert_eq!(servers[2].calls(), before);
    servers[2].serves(true);
    client.until_called(&servers[2], BACK).await;
}

#[tokio::test]
async fn a_server_that_stops_in_order_costs_no_call() {
    let servers = three();
    let client = Client::of(&servers);
    client.until_all_called(&servers).await;
    let (failed, ()) = tokio::join!(client.failures(OFF), async {
        sleep(SHORT).await;
        servers[0].drain();
    });
    assert!(failed.is_empty(), "{failed:?}");
    let before = servers[0].calls();
    assert!(client.failures(SHORT).await.is_empty());
    assert_eq!(servers[0].calls(), before);
}

/// As with a proxy or a server with `max_connection_age`: GOAWAY, and the only endpoint is as well as before.
#[test]
fn a_connection_that_drains_is_replaced_without_a_failure_and_the_endpoint_stays_up() {
    let options = Options { connection_age: Some(Duration::from_millis(100)), ..Options::default() };
    let observed = observe(async || {
        let server = Server::start_with(options);
        let client = Client::to(&[server.address]);
        client.write().await.unwrap();
        let failed = client.failures(3 * OFF).await;
        assert!(failed.is_empty(), "{failed:?}");
        server.always(Act::Slow(Duration::from_millis(150)));
        let failed = client.failures(OFF).await;
        assert!(failed.is_empty(), "{failed:?}");
    });
    assert_eq!(observed.lines("WARN"), Vec::<&str>::new());
}

#[tokio::test]
async fn an_endpoint_without_a_health_service_takes_calls_while_its_connection_works() {
    let options = Options { without_health: true, ..Options::default() };
    let mut servers = [Server::start_with(options)];
    let client = Client::of(&servers);
    client.write().await.unwrap();
    sleep(OFF).await;
    client.write().await.unwrap();
    servers[0].kill();
    let began = Instant::now();
    while Refusal::of(&client.write().await.unwrap_err()) != Some(Refusal::NoEndpoint) {
        assert!(began.elapsed() < OFF);
    }
}

#[tokio::test]
async fn a_slow_health_service_is_forgiven_where_calls_are_answered() {
    let servers = [Server::start()];
    let client = Client::of(&servers);
    client.write().await.unwrap();
    let resume = servers[0].hang();
    let (ended, ()) = tokio::join!(client.write(), async {
        sleep(SHORT).await;
        drop(resume);
    });
    ended.unwrap();
    client.write().await.unwrap();
}

#[tokio::test]
async fn everything_that_a_channel_keeps_going_ends_with_its_driver() {
    let alive = || Handle::current().metrics().num_alive_tasks();
    let (server, before) = (Server::start(), alive());
    let client = Client::to(&[server.address, nobody()]);
    client.write().await.unwrap();
    assert!(alive() > before);
    drop(client);
    let began = Instant::now();
    while alive() > before {
        assert!(began.elapsed() < LONG, "{} tasks instead of {before}", alive());
        sleep(Duration::from_millis(5)).await;
    }
}

/// One endpoint answers in 20 ms, the other fails within one.
#[tokio::test]
async fn an_endpoint_that_fails_fast_attracts_no_calls() {
    for code in [Code::PermissionDenied, Code::Unauthenticated, Code::Unimplemented, Code::Unavailable] {
        let servers = [Server::start(), Server::start()];
        let client = Client::of(&servers);
        client.until_all_called(&servers).await;
        servers[0].always(Act::Slow(Duration::from_millis(20)));
        servers[1].always(Act::Fail(code));
        let before = servers[1].calls();
        let calls = (0..10).map(|_| async {
            let mut failed = 0;
            for _ in 0..90 {
                failed += usize::from(client.write().await.is_err());
            }
            failed
        });
        let failed: usize = join_all(calls).await.into_iter().sum();
        let attracted = servers[1].calls() - before;
        assert!(attracted < 45 && failed < 45, "{code:?}: {attracted} calls, {failed} failed");
    }
}

#[tokio::test]
async fn a_discovery_of_ones_own_is_followed() {
    let server = Server::start();
    let config = ClientConfig::try_parse_from(["test"], [("", "")]).unwrap();
    let address = server.address.to_string();
    let (channel, driver) = Channel::open_with("own", &config, &[], |mut found| async move {
        found.failed("the registry is away");
        found.endpoints([address].into());
    })
    .unwrap();
    Client::driven(channel, driver).until_called(&server, LONG).await;
}
