//! Collectors that are gone, silent, slow or broken: requests go on, memory stays bounded, and the account
//! of spans is exact to the unit.

use super::burst::{account_at_rest, burst, resident};
use crate::support::{
    collector::{Behaviour, Collector},
    service::{Service, Site},
    telemetry::Account,
    wait::until_so,
};
use std::{net::TcpListener, time::Duration};
use tonic::Code;

/// What one accept that is delivered ends at least: SERVER, PRODUCER and CONSUMER.
const SPANS: u64 = 3;
const WARM_UP: usize = 400;
const BURST: usize = 800;
/// For the worst of them, which keeps every span waiting.
const LARGE_BURST: usize = 4000;
/// More than the spans of a burst and what the allocator keeps for its threads.
const MOST_GROWTH: u64 = 16 * 1024 * 1024;

/// Exporting to this collector in small batches, and giving up on one after two seconds.
fn site(endpoint: &str) -> Site {
    Site::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
        .with("OTEL_BSP_EXPORT_TIMEOUT", "2000")
        .with("OTEL_BSP_SCHEDULE_DELAY", "50")
        .with("APP_LOG__FORMAT", "json")
}

/// A burst; fails if it waits, or if memory grows by more than it may. Returns the account after it.
fn endure(service: &Service, accepts: usize) -> Account {
    burst(service.http, WARM_UP);
    let before = resident(service.id());
    burst(service.http, accepts);
    let grown = resident(service.id()).saturating_sub(before);
    assert!(grown <= MOST_GROWTH, "grown by {grown} bytes");
    let account = account_at_rest(service);
    assert!(account.ended >= SPANS * (WARM_UP + accepts) as u64, "{account:?}");
    account
}

fn assert_nothing_exported(account: Account) {
    assert_eq!((account.exported, account.failed + account.dropped), (0, account.ended), "{account:?}");
}

#[test]
fn a_collector_that_accepts_has_exactly_what_the_account_says() {
    let collector = Collector::start(Behaviour::Accept);
    let service = site(&collector.endpoint()).start();
    let account = endure(&service, BURST);
    assert_eq!((account.failed, account.dropped), (0, 0), "{account:?}");
    assert_eq!(collector.spans().len() as u64, account.exported);
    service.stop();
}

#[test]
fn a_collector_that_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let service = site(&endpoint).start();
    assert_nothing_exported(endure(&service, BURST));
    service.stop();
}

#[test]
fn a_collector_that_is_a_black_hole() {
    // Takes connections and never answers.
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = site(&format!("http://{}", hole.local_addr().unwrap())).start();
    assert_nothing_exported(endure(&service, LARGE_BURST));
    service.stop();
}

#[test]
fn a_collector_that_is_slow_but_answers_in_time_gets_everything() {
    let collector = Collector::start(Behaviour::Slow(Duration::from_millis(300)));
    let service = site(&collector.endpoint()).with("OTEL_EXPORTER_OTLP_TIMEOUT", "20000");
    let service = service.with("OTEL_BSP_EXPORT_TIMEOUT", "20000").start();
    let account = endure(&service, BURST);
    assert_eq!((account.failed, account.dropped), (0, 0), "{account:?}");
    assert_eq!(collector.spans().len() as u64, account.exported);
    service.stop();
}

#[test]
fn a_collector_that_is_slower_than_the_deadline() {
    let collector = Collector::start(Behaviour::Slow(Duration::from_secs(30)));
    let service = site(&collector.endpoint()).start();
    assert_nothing_exported(endure(&service, BURST));
    service.stop();
}

#[test]
fn a_collector_that_is_unavailable() {
    let collector = Collector::start(Behaviour::Fail(usize::MAX, Code::Unavailable));
    let service = site(&collector.endpoint()).start();
    assert_nothing_exported(endure(&service, BURST));
    assert!(collector.calls() > 1, "it was not asked again");
    service.stop();
}

#[test]
fn a_queue_with_a_bound_of_its_own_drops_the_rest() {
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = site(&format!("http://{}", hole.local_addr().unwrap()))
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", "10000")
        .with("OTEL_BSP_EXPORT_TIMEOUT", "10000")
        .with("OTEL_BSP_MAX_QUEUE_SIZE", "500")
        .start();
    burst(service.http, BURST);
    service.until_drained();
    let account = Account::of(&service.metrics().0);
    assert!(account.is_exact() && account.queued <= 500 && account.dropped > 500, "{account:?}");
    service.stop();
}

#[test]
fn a_collector_that_is_killed_and_comes_back_loses_only_what_the_account_says() {
    let collector = Collector::start(Behaviour::Accept);
    let address = collector.address;
    let service = site(&collector.endpoint()).start();
    burst(service.http, WARM_UP);
    until_so("spans are exported", || !collector.spans().is_empty());
    // Held by nobody while it is gone; a retry finds the port closed.
    let received = {
        let load = std::thread::spawn({
            let http = service.http;
            move || burst(http, BURST)
        });
        until_so("more spans are exported", || collector.calls() > 3);
        let received = collector.stop();
        load.join().unwrap();
        received
    };
    let account = account_at_rest(&service);
    // What it took without its answer arriving is failed here, though it is there.
    assert!(account.failed > 0 && account.exported <= received as u64, "{received} {account:?}");
    assert_eq!(account.dropped, 0, "{account:?}");
    let again = Collector::at(address, Behaviour::Accept);
    burst(service.http, WARM_UP);
    let after = account_at_rest(&service);
    assert!(after.exported - account.exported >= SPANS * WARM_UP as u64, "{account:?} {after:?}");
    assert_eq!(after.exported - account.exported, again.spans().len() as u64, "{account:?} {after:?}");
    assert_eq!(after.failed, account.failed, "{account:?} {after:?}");
    let (_, output) = {
        service.signal(rustix::process::Signal::TERM);
        service.ended()
    };
    assert!(output.contains("spans cannot be exported") && output.contains("spans are exported again"));
}
