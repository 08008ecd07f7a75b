//! Endpoints that die, hang, drain, say that they do not serve, and come back; and what a channel keeps going.

use crate::server::{Act, Options, Server};
use crate::support::{BACK, Client, LONG, OFF, nobody, observe_with, sum};
use chassis_rpc::Refusal;
use rcgen::{CertificateParams, KeyPair};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::time::sleep;
use tonic::Code;
use tonic::transport::Identity;

const SHORT: Duration = Duration::from_millis(300);

fn three() -> [Server; 3] {
    [Server::start(), Server::start(), Server::start()]
}

#[tokio::test]
async fn a_killed_endpoint_costs_no_more_than_the_calls_in_flight_and_comes_back() {
    let mut servers = three();
    let client = Client::of(&servers);
    client.until_all_called(&servers).await;
    servers[0].kill();
    // Four are in flight at once; each may meet the dead endpoint once more.
    let failed = client.failures(OFF).await;
    assert!(failed.len() <= 8, "{failed:?}");
    assert!(client.failures(OFF).await.is_empty());
    servers[0].start_again();
    client.until_called(&servers[0], BACK).await;
    assert!(client.failures(SHORT).await.is_empty());
}

#[tokio::test]
async fn a_hanging_endpoint_is_left_within_a_second_and_comes_back() {
    let servers = three();
    let client = Client::of(&servers);
    client.until_all_called(&servers).await;
    let resume = servers[1].hang();
    sleep(OFF).await;
    assert!(client.failures(OFF).await.is_empty());
    drop(resume);
    client.until_called(&servers[1], BACK).await;
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
    let observed = observe_with(async |_| {
        let server = Server::start_with(options, None);
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
    let mut servers = [Server::start_with(options, None)];
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
async fn with_every_endpoint_down_a_call_fails_at_once() {
    let servers = [Server::start()];
    servers[0].serves(false);
    // Until the health service says so.
    sleep(SHORT).await;
    let client = Client::to(&[nobody(), servers[0].address]);
    let status = client.write().await.unwrap_err();
    assert_eq!((status.code(), Refusal::of(&status)), (Code::Unavailable, Some(Refusal::NoEndpoint)));
    servers[0].serves(true);
    client.until_called(&servers[0], BACK).await;
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

#[test]
fn endpoints_are_counted_by_their_state() {
    observe_with(async |metrics| {
        let server = Server::start();
        let client = Client::to(&[server.address, nobody()]);
        client.write().await.unwrap();
        let shown = |state, count| sum(&metrics(), "rpc_client_endpoints", &[("state", state)]) == count;
        let began = Instant::now();
        while !(shown("new", 0) && shown("up", 1) && shown("down", 1)) {
            assert!(began.elapsed() < LONG, "{}", metrics());
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(sum(&metrics(), "rpc_client_lookups_total", &[("outcome", "ok")]), 1);
    });
}

#[tokio::test]
async fn tls_trusts_the_given_authority_and_no_other() {
    let certificate = || {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["server.test".to_owned()]).unwrap().self_signed(&key);
        (certificate.unwrap().pem(), key.serialize_pem())
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (pem, key) = certificate();
    let (right, wrong) = (file("right", &pem), file("wrong", &certificate().0));
    let server = Server::start_with(Options::default(), Some(Identity::from_pem(pem, key)));
    let target = format!("static://{}", server.address);
    let client = |authority: &str, name: &str| {
        let settings = [("TLS__ENABLED", "true"), ("TLS__CA_FILE", authority), ("TLS__SERVER_NAME", name)];
        Client::with(&target, &settings)
    };
    client(&right, "server.test").write().await.unwrap();
    for wrong in [client(&wrong, "server.test"), client(&right, "other.test")] {
        assert_eq!(Refusal::of(&wrong.write().await.unwrap_err()), Some(Refusal::NoEndpoint));
    }
}
