//! A collector that is lost under load, with telemetry's settings as they are by default: accepts are answered, memory
//! stays within 16 MB of what it was, and the account of spans is exact. More spans than there is room for are
//! told of in `telemetry_flood.rs`, small bursts in `account.rs`.

use super::burst::{account_at_rest, resident};
use crate::support::{
    client::Connection,
    collector::{Behaviour, Collector},
    http_collector::HttpCollector,
    service::{ASYNC, MESSAGE, Service, Site},
    telemetry::Account,
    wait::until,
};
use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tonic::Code;

/// Of each kind.
const CLIENTS: usize = 3;
const A_FEW_SECONDS: Duration = Duration::from_secs(3);
const MOST_GROWTH: u64 = 16_000_000;
/// An answer that waits for a collector takes longer, an answer on a busy machine does not.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Ends the clients also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A few seconds of notifications that are accepted, and of requests that end more spans with less work; gives the
/// most memory that the process held, in bytes.
fn load(service: &Service) -> u64 {
    let (http, stopped) = (service.http, &AtomicBool::new(false));
    thread::scope(|scope| {
        for (method, path, body, status) in [("POST", ASYNC, MESSAGE, 202), ("GET", "/nowhere", "", 404)] {
            let client = move || {
                let mut connection = Connection::open(http).unwrap();
                while !stopped.load(Relaxed) {
                    let begun = Instant::now();
                    let answer = connection.send(method, path, body).unwrap();
                    assert_eq!(answer.status, status, "{answer:?}");
                    assert!(begun.elapsed() < AT_ONCE, "an answer took {:?}", begun.elapsed());
                }
            };
            (0..CLIENTS).for_each(|_| drop(scope.spawn(client)));
        }
        let (_stop, begun, mut most) = (Stop(stopped), Instant::now(), 0);
        until("the load is over", || {
            most = most.max(resident(service.id()));
            (begun.elapsed() >= A_FEW_SECONDS).then_some(most)
        })
    })
}

/// The account once nothing ends any more; what waits for a collector may go on waiting.
fn exact_account(service: &Service) -> Account {
    service.until_drained();
    let mut before = 0;
    until("an exact account at rest", || {
        let account = Account::of(&service.metrics().0);
        let at_rest = std::mem::replace(&mut before, account.ended) == account.ended;
        (at_rest && account.is_exact()).then_some(account)
    })
}

/// Puts load on a service, first with a collector that works and then with what `trouble` makes of it on the same
/// address. What `trouble` returns lives until the end. Memory is compared with that at rest between the two.
fn endure<T>(site: &Site, trouble: impl FnOnce() -> T) {
    let service = site.start();
    load(&service);
    let healthy = account_at_rest(&service);
    assert!(healthy.exported > 0 && healthy.failed + healthy.dropped == 0, "{healthy:?}");
    let quiet = resident(service.id());
    let kept = trouble();
    let grown = load(&service).saturating_sub(quiet);
    assert!(grown <= MOST_GROWTH, "grown by {grown} bytes over {quiet}");
    let account = exact_account(&service);
    assert!(account.ended > healthy.ended, "{account:?}");
    service.stop();
    drop(kept);
}

fn site(address: SocketAddr) -> Site {
    Site::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
}

/// The same for a collector over gRPC that ends, and another on its address.
fn endure_after<T>(trouble: impl FnOnce(SocketAddr) -> T) {
    let collector = Collector::start(Behaviour::Accept);
    let address = collector.address;
    endure(&site(address), move || {
        collector.stop();
        trouble(address)
    });
}

#[test]
fn a_collector_that_refuses_connections() {
    endure_after(drop);
}

#[test]
fn a_collector_that_becomes_a_black_hole() {
    // The kernel takes connections, and nobody reads from them.
    endure_after(|address| TcpListener::bind(address).unwrap());
}

#[test]
fn a_collector_that_becomes_slow() {
    endure_after(|address| Collector::at(address, Behaviour::Slow(Duration::from_secs(5))));
}

#[test]
fn a_collector_that_becomes_unavailable() {
    endure_after(|address| Collector::at(address, Behaviour::Fail(usize::MAX, Code::Unavailable)));
}

#[test]
fn a_collector_over_http_that_answers_503() {
    let collector = HttpCollector::start();
    let site = site(collector.address).with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    endure(&site, || collector.answer(503));
    assert!(collector.refused() > 0);
}
