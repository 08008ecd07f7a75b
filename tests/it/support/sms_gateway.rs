//! The simulated gateway as a process of its own, on an address that stays the same while it is gone.

use super::{
    client::{Answer, ask},
    wait::until,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
};
use tokio::net::TcpSocket;

/// A gateway, or the address of one that is gone. Dropping it leaves no process.
pub struct Gateway {
    pub address: SocketAddr,
    process: Option<Child>,
    folder: tempfile::TempDir,
    /// Bound and never listening: it keeps the address ours, and connections to it are refused.
    _held: TcpSocket,
}

impl Gateway {
    /// A gateway that answers at once.
    pub fn start() -> Self {
        let mut gateway = Self::gone();
        gateway.come();
        gateway
    }

    /// A gateway that starts with a behaviour.
    pub fn behaving(behaviour: &str) -> Self {
        let gateway = Self::start();
        gateway.behave(behaviour);
        gateway
    }

    /// An address that refuses connections until [`Self::come`].
    pub fn gone() -> Self {
        let held = TcpSocket::new_v4().unwrap();
        held.set_reuseaddr(true).unwrap();
        held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = held.local_addr().unwrap();
        Self { address, process: None, folder: tempfile::tempdir().unwrap(), _held: held }
    }

    pub fn come(&mut self) {
        let output = self.folder.path().join("output");
        let child = Command::new(program())
            .args(["--listen", &self.address.to_string(), "--record"])
            .arg(self.folder.path().join("record"))
            .stdin(Stdio::null())
            .stdout(File::create(&output).unwrap())
            .spawn();
        self.process = Some(child.unwrap());
        until("the gateway listens", || fs::read_to_string(&output).ok().filter(|text| text.ends_with('\n')));
    }

    /// Killed: its address refuses connections.
    pub fn leave(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/send", self.address)
    }

    /// Changes what it does, as `{"blackHole":true}`.
    pub fn behave(&self, behaviour: &str) {
        let answer = self.ask("PUT", "/control", behaviour);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// What it has counted since it came.
    pub fn stats(&self) -> Value {
        self.ask("GET", "/stats", "").json()
    }

    /// All ids that ever arrived, in order, each as often as it did.
    pub fn arrivals(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("record")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often this id arrived.
    pub fn arrivals_of(&self, id: &str) -> usize {
        self.arrivals().iter().filter(|arrived| *arrived == id).count()
    }

    /// Waits until so many messages have arrived in all.
    pub fn has_received(&self, messages: usize) {
        until("messages at the gateway", || (self.arrivals().len() >= messages).then_some(()));
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(self.address, method, path, body).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.leave();
    }
}

/// `cargo test` builds examples into a folder beside the tests' own.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().unwrap().with_file_name("examples").join("sms_gateway");
    assert!(path.exists(), "{} is not there: run `cargo build --example sms_gateway`", path.display());
    path
}
