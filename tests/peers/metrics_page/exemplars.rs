//! Exemplars as a real Prometheus takes them from the running service and answers with them.

use crate::{
    need,
    support::{
        client::{Connection, ask},
        service::{ASYNC, MESSAGE, Site},
        wait::until,
    },
};
use serde_json::Value;
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
};

/// A Prometheus that scrapes one target each second. Dropping it ends it.
struct Prometheus {
    child: Child,
    address: SocketAddr,
}

impl Prometheus {
    fn scraping(target: SocketAddr, folder: &Path) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let config = format!(
            "scrape_configs:\n- job_name: epro-notify\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  \
             static_configs:\n  - targets: ['{target}']\n"
        );
        fs::write(folder.join("prometheus.yml"), config).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"])
            .arg("--enable-feature=exemplar-storage")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address }
    }

    /// The `data` of an answer, once there is one.
    fn ask(&self, path: &str) -> Option<Value> {
        let answer = ask(self.address, "GET", path, "").ok().filter(|answer| answer.status == 200)?;
        Some(answer.json()["data"].clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn prometheus_answers_with_the_trace_of_the_request() {
    need("prometheus");
    let service = Site::new().start();
    let mut caller = Connection::open(service.http).unwrap();
    let answer = caller.send("POST", ASYNC, MESSAGE).unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::scraping(service.admin, folder.path());
    let query = format!("http_request_duration_seconds_bucket{{route=\"{ASYNC}\"}}");
    let query: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let path = format!("/api/v1/query_exemplars?query={query}&start=0&end=99999999999");
    let found = until("Prometheus has an exemplar", || {
        let exemplar = prometheus.ask(&path)?.pointer("/0/exemplars/0").cloned()?;
        Some(exemplar)
    });
    assert_eq!(found["labels"]["trace_id"], *answer.trace_id(), "{found}");
    let targets = prometheus.ask("/api/v1/targets").unwrap();
    assert_eq!(targets["activeTargets"][0]["lastError"], "", "{targets}");
}
