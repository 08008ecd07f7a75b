//! A real etcd: servers that register, withdraw and crash, and an etcd that goes away and forgets.

use crate::server::Server;
use crate::support::{Client, LONG, nobody};
use chassis_rpc::RegisterConfig;
use conf::Conf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// One member on free ports, with a folder of its own.
struct Etcd {
    folder: TempDir,
    ports: [u16; 2],
    running: Option<Child>,
}

impl Etcd {
    fn start() -> Self {
        let ports = [nobody().port(), nobody().port()];
        let mut etcd = Self { folder: tempfile::tempdir().unwrap(), ports, running: None };
        etcd.start_again();
        etcd
    }

    fn start_again(&mut self) {
        let [clients, peers] = self.ports.map(|port| format!("http://127.0.0.1:{port}"));
        let mut command = Command::new("etcd");
        command.arg("--data-dir").arg(self.folder.path()).args(["--listen-client-urls", &clients]);
        command.args(["--advertise-client-urls", &clients, "--listen-peer-urls", &peers]);
        command.args(["--initial-advertise-peer-urls", &peers, "--initial-cluster"]);
        command.arg(format!("default={peers}"));
        self.running = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut etcd) = self.running.take() {
            etcd.kill().unwrap();
            etcd.wait().unwrap();
        }
    }

    fn target(&self) -> String {
        // A member that is not there is passed over.
        format!("etcd://127.0.0.1:{},127.0.0.1:{}/services/test", self.ports[0], nobody().port())
    }

    /// Registers a server until the token is cancelled.
    fn register(&self, server: &Server) -> (CancellationToken, JoinHandle<()>) {
        let target = self.target();
        let config = RegisterConfig::try_parse_from(["test"], [("REGISTER", &*target)]).unwrap();
        let (stop, address) = (CancellationToken::new(), server.address);
        let stopped = stop.clone().cancelled_owned();
        #[expect(clippy::disallowed_methods, reason = "a registration belongs to no span")]
        let held = tokio::spawn(async move { config.hold(address, stopped).await });
        (stop, held)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Calls until this server, which is well, is called no more.
async fn until_left(client: &Client, server: &Server) {
    let began = Instant::now();
    loop {
        let before = server.calls();
        for _ in 0..100 {
            client.write().await.unwrap();
            sleep(Duration::from_millis(1)).await;
        }
        if server.calls() == before {
            return;
        }
        assert!(began.elapsed() < LONG, "still called");
    }
}

#[tokio::test]
#[ignore = "needs etcd (Debian's etcd-server)"]
async fn servers_are_called_while_they_are_registered_whatever_becomes_of_etcd() {
    let mut etcd = Etcd::start();
    let servers = [Server::start(), Server::start()];
    let client = Client::with(&etcd.target(), &[]);
    let (stop, withdrawn) = etcd.register(&servers[0]);
    let (_stop, crashed) = etcd.register(&servers[1]);
    client.until_all_called(&servers).await;

    etcd.kill();
    let failed = client.failures(Duration::from_secs(3)).await;
    assert!(failed.is_empty(), "{failed:?}");
    // Without its data: registered servers come back, and are found once each.
    etcd.folder = tempfile::tempdir().unwrap();
    etcd.start_again();
    client.until_all_called(&servers).await;
    sleep(Duration::from_secs(6)).await;
    client.until_all_called(&servers).await;

    stop.cancel();
    withdrawn.await.unwrap();
    until_left(&client, &servers[0]).await;
    let third = Server::start();
    let _third = etcd.register(&third);
    client.until_called(&third, LONG).await;
    // A server that crashed is forgotten with its lease. It answers all the same, so it is etcd that says so.
    crashed.abort();
    until_left(&client, &servers[1]).await;
}
