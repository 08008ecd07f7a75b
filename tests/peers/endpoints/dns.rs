//! A real name server on loopback: records that change, a name that vanishes, a server that dies.

use super::{LONG, all_answered, call, open, until_called, until_left};
use crate::{
    program::{Program, free_address},
    support::instance::Instance,
};
use chassis_test::Signal;
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    time::Duration,
};
use tempfile::TempDir;

const NAME: &str = "servers.test";

/// dnsmasq on a free port, which knows what its file of hosts holds and nothing else.
struct NameServer {
    folder: TempDir,
    address: SocketAddr,
    running: Option<Program>,
}

impl NameServer {
    fn start(addresses: &[&str]) -> Self {
        let mut server =
            Self { folder: tempfile::tempdir().unwrap(), address: free_address(), running: None };
        server.write(addresses);
        server.start_again();
        server
    }

    fn start_again(&mut self) {
        let hosts = format!("--addn-hosts={}", self.folder.path().join("hosts").display());
        self.running = Some(Program::start("dnsmasq", self.folder.path(), |command| {
            command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"]);
            command.args(["--bind-interfaces", "--no-resolv", "--no-hosts"]);
            // Records live for a second, and what the file does not know there is not.
            command.args(["--local-ttl=1", "--neg-ttl=1", "--local=/test/", &hosts]);
            command.arg(format!("--listen-address={}", self.address.ip()));
            command.arg(format!("--port={}", self.address.port()));
        }));
    }

    fn write(&self, addresses: &[&str]) {
        let lines: String = addresses.iter().map(|address| format!("{address} {NAME}\n")).collect();
        fs::write(self.folder.path().join("hosts"), lines).unwrap();
    }

    /// From now on the name has these addresses.
    fn tell(&self, addresses: &[&str]) {
        self.write(addresses);
        self.running.as_ref().unwrap().signal(Signal::HUP);
    }

    fn kill(&mut self) {
        self.running = None;
    }

    fn target(&self, port: u16) -> String {
        format!("dns://{}/{NAME}:{port}", self.address)
    }
}

/// Servers on these addresses and one port, as the pods of a headless service have it.
fn instances<const N: usize>(addresses: [&str; N]) -> ([Instance; N], u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = |address: &str| format!("{address}:{port}").parse().unwrap();
    (addresses.map(|address| Instance::at(at(address))), port)
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_and_go_are_followed() {
    let ([first, second], port) = instances(["127.0.0.1", "127.0.0.2"]);
    let server = NameServer::start(&["127.0.0.1"]);
    let channel = open(&server.target(port));
    until_called(&channel, &[&first]).await;
    server.tell(&["127.0.0.1", "127.0.0.2"]);
    until_called(&channel, &[&second, &first]).await;
    server.tell(&["127.0.0.2"]);
    until_left(&channel, &first).await;
    call(&channel).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn both_families_of_addresses_are_called() {
    let ([four, six], port) = instances(["127.0.0.1", "[::1]"]);
    let server = NameServer::start(&["127.0.0.1", "::1"]);
    until_called(&open(&server.target(port)), &[&four, &six]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_vanishes_and_a_server_that_dies_leave_what_is_known_in_use() {
    let ([first, second], port) = instances(["127.0.0.1", "127.0.0.2"]);
    let mut server = NameServer::start(&["127.0.0.1"]);
    let channel = open(&server.target(port));
    until_called(&channel, &[&first]).await;
    server.tell(&[]);
    all_answered(&channel, Duration::from_secs(3)).await;
    server.kill();
    all_answered(&channel, Duration::from_secs(3)).await;
    server.write(&["127.0.0.2"]);
    server.start_again();
    until_called(&channel, &[&second]).await;
    until_left(&channel, &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_there_yet_is_found_when_it_is() {
    let ([instance], port) = instances(["127.0.0.1"]);
    let server = NameServer::start(&[]);
    let channel = open(&server.target(port));
    // The first call waits for the first look-up, for a second at most.
    tokio::time::timeout(LONG, call(&channel)).await.unwrap().unwrap_err();
    server.tell(&["127.0.0.1"]);
    until_called(&channel, &[&instance]).await;
}
