//! A real etcd: servers that register, stop, crash; keys of others; restarts and compaction.

use super::{LONG, all_answered, call, free_port, open, until_called, until_left};
use crate::{
    need,
    support::{instance::Instance, service::Site},
};
use chassis_rpc::RegisterConfig;
use conf::Conf;
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
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
    ports: [u16; 2],
    running: Option<Child>,
}

impl Etcd {
    async fn start() -> Self {
        need("etcd");
        let ports = [free_port(), free_port()];
        let mut etcd = Self { folder: tempfile::tempdir().unwrap(), ports, running: None };
        etcd.start_again().await;
        etcd
    }

    /// With the data from before.
    async fn start_again(&mut self) {
        let [clients, peers] = self.ports.map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.folder.path()).args(["--listen-client-urls", &clients]);
        command.args(["--advertise-client-urls", &clients, "--listen-peer-urls", &peers]);
        command.args(["--initial-advertise-peer-urls", &peers, "--initial-cluster"]);
        command.arg(format!("default={peers}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(command.spawn().unwrap());
        let began = Instant::now();
        while !self.is_healthy().await {
            assert!(began.elapsed() < LONG, "etcd does not start");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn kill(&mut self) {
        if let Some(mut etcd) = self.running.take() {
            etcd.kill().unwrap();
            etcd.wait().unwrap();
        }
    }

    async fn is_healthy(&self) -> bool {
        let url = format!("http://127.0.0.1:{}/health", self.ports[0]);
        match client().get(url).send().await {
            Ok(answer) => answer.text().await.is_ok_and(|text| text.contains("true")),
            Err(_) => false,
        }
    }

    /// A call of its JSON interface.
    async fn ask(&self, path: &str, body: Value) -> Value {
        let url = format!("http://127.0.0.1:{}/v3/{path}", self.ports[0]);
        let answer = client().post(url).body(body.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn put(&self, key: &str, value: &str) -> i64 {
        let answer = self.ask("kv/put", json!({"key": base64(key), "value": base64(value)})).await;
        answer["header"]["revision"].as_str().unwrap().parse().unwrap()
    }

    /// Where servers register, and clients look.
    fn target(&self) -> String {
        format!("etcd://127.0.0.1:{}/services/test", self.ports[0])
    }

    fn register(&self, at: SocketAddr) -> Registration {
        let config = RegisterConfig::try_parse_from(["test"], [("REGISTER", &*self.target())]).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        Registration { stop, held: tokio::spawn(async move { config.hold(at, stopped).await }) }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(LONG).build().unwrap()
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |three: &[u8]| {
        let bits = (0..3).fold(0, |bits, nth| bits << 8 | usize::from(*three.get(nth).unwrap_or(&0)));
        let digit = |nth: usize| match nth <= three.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * nth) & 63]),
            false => '=',
        };
        String::from_iter([0, 1, 2, 3].map(digit))
    };
    text.as_bytes().chunks(3).map(group).collect()
}

#[tokio::test]
async fn servers_that_register_are_called_until_they_withdraw() {
    let etcd = Etcd::start().await;
    let (first, second) = (Instance::start(), Instance::start());
    let registration = etcd.register(first.address);
    // A member that is not there is passed over.
    let dead = format!("etcd://127.0.0.1:{},", free_port());
    let channel = open(&etcd.target().replace("etcd://", &dead));
    until_called(&channel, &[&first]).await;
    let _other = etcd.register(second.address);
    until_called(&channel, &[&first, &second]).await;
    registration.withdraw().await;
    until_left(&channel, &first).await;
    all_answered(&channel, Duration::from_millis(300)).await;
}

#[tokio::test]
async fn a_server_that_crashed_is_forgotten_with_its_lease() {
    let etcd = Etcd::start().await;
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

#[tokio::test]
async fn while_etcd_is_away_what_is_known_stays_and_afterwards_changes_are_followed() {
    let mut etcd = Etcd::start().await;
    let (first, second) = (Instance::start(), Instance::start());
    let _first = etcd.register(first.address);
    let channel = open(&etcd.target());
    until_called(&channel, &[&first]).await;
    etcd.kill();
    all_answered(&channel, Duration::from_secs(2)).await;
    let registration = etcd.register(second.address);
    all_answered(&channel, Duration::from_secs(1)).await;
    etcd.start_again().await;
    until_called(&channel, &[&second, &first]).await;
    registration.withdraw().await;
    until_left(&channel, &second).await;
    assert!(call(&channel).await);
}

#[tokio::test]
async fn an_etcd_that_has_forgotten_everything_is_told_again() {
    let mut etcd = Etcd::start().await;
    let instance = Instance::start();
    let _registration = etcd.register(instance.address);
    let channel = open(&etcd.target());
    until_called(&channel, &[&instance]).await;
    etcd.kill();
    etcd.folder = tempfile::tempdir().unwrap();
    etcd.start_again().await;
    let began = Instant::now();
    let range = json!({"key": base64("services/test/"), "range_end": base64("services/test0")});
    while etcd.ask("kv/range", range.clone()).await["kvs"].is_null() {
        assert!(began.elapsed() < LONG, "not registered again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until_called(&channel, &[&instance]).await;
}

#[tokio::test]
async fn keys_of_others_are_read_in_both_forms_and_compaction_loses_no_change() {
    let etcd = Etcd::start().await;
    let [plain, named, foreign] = [Instance::start(), Instance::start(), Instance::start()];
    etcd.put("services/test/1", &plain.address.to_string()).await;
    etcd.put("services/testing/1", &foreign.address.to_string()).await;
    etcd.put("services/test/broken", "no address").await;
    let channel = open(&etcd.target());
    until_called(&channel, &[&plain]).await;
    let revision = etcd.put("services/test/again", &plain.address.to_string()).await;
    etcd.ask("kv/compaction", json!({"revision": revision, "physical": true})).await;
    etcd.put("services/test/2", &json!({"Op": 0, "Addr": named.address.to_string()}).to_string()).await;
    until_called(&channel, &[&named, &plain]).await;
    // Two keys name it, and it stays as long as one does.
    etcd.ask("kv/deleterange", json!({"key": base64("services/test/1")})).await;
    until_called(&channel, &[&plain, &named, &plain]).await;
    etcd.ask("kv/deleterange", json!({"key": base64("services/test/again")})).await;
    until_left(&channel, &plain).await;
    assert_eq!(foreign.calls(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_registers_its_listener_and_takes_it_back_when_it_stops() {
    let etcd = Etcd::start().await;
    let range = json!({"key": base64("services/test/"), "range_end": base64("services/test0")});
    let service = Site::new().with("APP_GRPC__REGISTER", &etcd.target()).start();
    let began = Instant::now();
    while service.metrics().sum("grpc_registration_up", &[]) != 1 {
        assert!(began.elapsed() < LONG, "not registered");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = etcd.ask("kv/range", range.clone()).await["kvs"].clone();
    let ready = service.lines().into_iter().find(|line| line["message"] == "ready").unwrap();
    assert_eq!(listed[0]["value"], base64(ready["fields"]["grpc"].as_str().unwrap()));
    service.stop();
    assert!(etcd.ask("kv/range", range).await["kvs"].is_null());
}
