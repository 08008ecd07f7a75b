//! A real etcd: servers that register, stop, crash; keys of others; restarts and compaction.

use super::{LONG, all_answered, call, open, until_called, until_left};
use crate::{
    program::{self, Program, free_address},
    support::{instance::Instance, service::Site},
};
use chassis_rpc::RegisterConfig;
use chassis_test::{ask, certificates::base64};
use conf::Conf;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A server that is registered as long as the test's runtime runs, or until it withdraws.
struct Registration {
    stop: CancellationToken,
    held: JoinHandle<()>,
}

impl Registration {
    async fn withdraw(self) {
        self.stop.cancel();
        self.held.await.unwrap();
    }
}

/// One member on free ports, with a folder of its own.
struct Etcd {
    folder: TempDir,
    addresses: [SocketAddr; 2],
    running: Option<Program>,
}

impl Etcd {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut etcd = Self { folder, addresses: [free_address(), free_address()], running: None };
        etcd.start_again();
        etcd
    }

    /// With the data from before.
    fn start_again(&mut self) {
        self.running = Some(program::etcd(self.folder.path(), self.addresses));
    }

    fn kill(&mut self) {
        self.running = None;
    }

    /// A call of its JSON interface.
    fn ask(&self, path: &str, body: &Value) -> Value {
        let answer = ask(self.addresses[0], "POST", &format!("/v3/{path}"), &body.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// What is registered, as far as it is known to [`Self::target`].
    fn registered(&self) -> Value {
        let range = json!({"key": encoded("services/test/"), "range_end": encoded("services/test0")});
        self.ask("kv/range", &range)["kvs"].clone()
    }

    fn put(&self, key: &str, value: &str) -> i64 {
        let answer = self.ask("kv/put", &json!({"key": encoded(key), "value": encoded(value)}));
        answer["header"]["revision"].as_str().unwrap().parse().unwrap()
    }

    /// Where servers register, and clients look.
    fn target(&self) -> String {
        format!("etcd://{}/services/test", self.addresses[0])
    }

    fn register(&self, at: SocketAddr) -> Registration {
        let config = RegisterConfig::try_parse_from(["test"], [("REGISTER", &*self.target())]).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        Registration { stop, held: tokio::spawn(async move { config.hold(at, stopped).await }) }
    }
}

fn encoded(text: &str) -> String {
    base64(text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_register_are_called_until_they_withdraw() {
    let etcd = Etcd::start();
    let (first, second) = (Instance::start(), Instance::start());
    let registration = etcd.register(first.address);
    // A member that is not there is passed over.
    let dead = format!("etcd://{},", free_address());
    let channel = open(&etcd.target().replace("etcd://", &dead));
    until_called(&channel, &[&first]).await;
    let _other = etcd.register(second.address);
    until_called(&channel, &[&first, &second]).await;
    registration.withdraw().await;
    until_left(&channel, &first).await;
    all_answered(&channel, Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashed_is_forgotten_with_its_lease() {
    let etcd = Etcd::start();
    let (staying, crashing) = (Instance::start(), Instance::start());
    let _staying = etcd.register(staying.address);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let entered = runtime.enter();
    let _crashing = etcd.register(crashing.address);
    drop(entered);
    let channel = open(&etcd.target());
    until_called(&channel, &[&staying, &crashing]).await;
    runtime.shutdown_background();
    // It answers all the same, so that it is etcd alone that says it is gone.
    until_left(&channel, &crashing).await;
    all_answered(&channel, Duration::from_millis(300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_etcd_is_away_what_is_known_stays_and_afterwards_changes_are_followed() {
    let mut etcd = Etcd::start();
    let (first, second) = (Instance::start(), Instance::start());
    let _first = etcd.register(first.address);
    let channel = open(&etcd.target());
    until_called(&channel, &[&first]).await;
    etcd.kill();
    all_answered(&channel, Duration::from_secs(2)).await;
    let registration = etcd.register(second.address);
    all_answered(&channel, Duration::from_secs(1)).await;
    etcd.start_again();
    until_called(&channel, &[&second, &first]).await;
    registration.withdraw().await;
    until_left(&channel, &second).await;
    call(&channel).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_etcd_that_has_forgotten_everything_is_told_again() {
    let mut etcd = Etcd::start();
    let instance = Instance::start();
    let _registration = etcd.register(instance.address);
    let channel = open(&etcd.target());
    until_called(&channel, &[&instance]).await;
    etcd.kill();
    etcd.folder = tempfile::tempdir().unwrap();
    etcd.start_again();
    until_registered(&etcd).await;
    until_called(&channel, &[&instance]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_deleted_is_put_again() {
    let etcd = Etcd::start();
    let instance = Instance::start();
    let _registration = etcd.register(instance.address);
    until_registered(&etcd).await;
    let all = json!({"key": encoded("services/test/"), "range_end": encoded("services/test0")});
    assert_eq!(etcd.ask("kv/deleterange", &all)["deleted"], "1");
    until_registered(&etcd).await;
}

async fn until_registered(etcd: &Etcd) {
    let began = Instant::now();
    while etcd.registered().is_null() {
        assert!(began.elapsed() < LONG, "not registered");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_others_are_read_in_both_forms_and_compaction_loses_no_change() {
    let etcd = Etcd::start();
    let [plain, named, foreign] = [Instance::start(), Instance::start(), Instance::start()];
    etcd.put("services/test/1", &plain.address.to_string());
    etcd.put("services/testing/1", &foreign.address.to_string());
    etcd.put("services/test/broken", "no address");
    let channel = open(&etcd.target());
    until_called(&channel, &[&plain]).await;
    let revision = etcd.put("services/test/again", &plain.address.to_string());
    etcd.ask("kv/compaction", &json!({"revision": revision, "physical": true}));
    etcd.put("services/test/2", &json!({"Op": 0, "Addr": named.address.to_string()}).to_string());
    until_called(&channel, &[&named, &plain]).await;
    // Two keys name it, and it stays as long as one does.
    etcd.ask("kv/deleterange", &json!({"key": encoded("services/test/1")}));
    until_called(&channel, &[&plain, &named, &plain]).await;
    etcd.ask("kv/deleterange", &json!({"key": encoded("services/test/again")}));
    until_left(&channel, &plain).await;
    assert_eq!(foreign.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_registers_its_listener_and_takes_it_back_when_it_stops() {
    let etcd = Etcd::start();
    let service = Site::new().with("APP_GRPC__REGISTER", &etcd.target()).start();
    let began = Instant::now();
    while service.metrics().sum("grpc_registration_up", &[]) != 1 {
        assert!(began.elapsed() < LONG, "not registered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = etcd.registered();
    let ready = service.lines().into_iter().find(|line| line["message"] == "ready").unwrap();
    assert_eq!(listed[0]["value"], encoded(ready["fields"]["grpc"].as_str().unwrap()));
    service.stop();
    assert!(etcd.registered().is_null());
}
