//! More spans than there is room for, while the collector is of no use: memory grows by 16 MB at most and each span
//! is accounted for, with the settings that are there by default. Memory is a whole process's, so this test binary
//! runs itself again.

use crate::support::{
    collector::{Behaviour, Collector},
    http_collector::HttpCollector,
    telemetry::{Account, start},
    wait::until,
};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    process::Command,
    time::{Duration, Instant},
};
use tonic::Code;
use tracing::info_span;

const ENDPOINT: &str = "TELEMETRY_TEST_ENDPOINT";
const PROTOCOL: &str = "TELEMETRY_TEST_PROTOCOL";
const FOUND: &str = "found: ";
/// In bytes.
const MOST_GROWTH: u64 = 16_000_000;
/// Bytes that each span of the flood carries, so that few fill the room.
const SPAN_BYTES: usize = 1024;
/// Several times what there is room for, in bytes.
const FLOOD: usize = 32 * 1024 * 1024;
/// Long enough for calls to the collector to be made, and to be made again.
const AT_LEAST: Duration = Duration::from_secs(3);

/// The process that the tests below start; does nothing when it is run as a test.
#[test]
fn the_other_process() {
    let (Ok(endpoint), Ok(protocol)) = (std::env::var(ENDPOINT), std::env::var(PROTOCOL)) else { return };
    let settings =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_EXPORTER_OTLP_PROTOCOL", &protocol)];
    let (telemetry, _) = start(&settings);
    let text = "x".repeat(SPAN_BYTES);
    let end = |spans: usize| {
        telemetry
            .run(|| (0..spans).for_each(|_| drop(info_span!(target: "epro_notify::test", "work", text))));
    };
    end(100);
    let (quiet, begun, mut most, mut ended) = (resident(), Instant::now(), 0, 0);
    while ended < FLOOD || begun.elapsed() < AT_LEAST {
        end(200);
        ended += 200 * SPAN_BYTES;
        most = most.max(resident());
    }
    let account = until("an exact account", || {
        Some(Account::of(&telemetry.telemetry.metrics.render())).filter(Account::is_exact)
    });
    let found = json!({ "quiet": quiet, "most": most, "ended": account.ended, "dropped": account.dropped });
    println!("{FOUND}{found}");
    telemetry.telemetry.shutdown(Duration::ZERO);
}

/// Memory that this process holds, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

fn flood(collector: SocketAddr, protocol: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "telemetry_flood::the_other_process", "--nocapture", "--test-threads=1"])
        .env(ENDPOINT, format!("http://{collector}"))
        .env(PROTOCOL, protocol)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let found =
        said.lines().find_map(|line| line.split_once(FOUND)).unwrap_or_else(|| panic!("{output:?}")).1;
    let found: Value = serde_json::from_str(found).unwrap();
    let number = |name: &str| found[name].as_u64().unwrap();
    let grown = number("most").saturating_sub(number("quiet"));
    assert!(grown <= MOST_GROWTH, "grown by {grown} bytes: {found}");
    // It was a flood: most of it found no room.
    assert!(number("dropped") > number("ended") / 4, "{found}");
}

#[test]
fn into_a_collector_that_refuses_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    flood(address, "grpc");
}

#[test]
fn into_a_black_hole() {
    // The kernel takes connections, and nobody reads from them.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    flood(hole.local_addr().unwrap(), "grpc");
}

#[test]
fn into_a_slow_collector() {
    flood(Collector::start(Behaviour::Slow(Duration::from_secs(2))).address, "grpc");
}

#[test]
fn into_a_collector_that_is_unavailable() {
    flood(Collector::start(Behaviour::Fail(usize::MAX, Code::Unavailable)).address, "grpc");
}

#[test]
fn into_a_collector_over_http_that_answers_503() {
    let collector = HttpCollector::start();
    collector.answer(503);
    flood(collector.address, "http/protobuf");
    assert!(collector.refused() > 0);
}
