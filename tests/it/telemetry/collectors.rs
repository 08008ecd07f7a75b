//! Collectors that are gone, silent, slow or broken: requests go on, memory stays bounded, and the account of spans
//! is exact to the unit.

use super::{ask_at_once, burst};
use crate::support::{
    gateway::{Act, RawGateway},
    prelude::*,
};
use std::{
    net::{SocketAddr, TcpListener},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};
use tonic::Code;

/// What one accept that is delivered ends at least: SERVER, PRODUCER and CONSUMER.
const SPANS: u64 = 3;
const BURST: usize = 800;
/// Of each kind.
const CLIENTS: usize = 3;
const A_FEW_SECONDS: Duration = Duration::from_secs(3);
/// In bytes.
const MOST_GROWTH: u64 = 16_000_000;

/// Exports in small batches, and gives up on one after two seconds.
fn impatient(endpoint: &str) -> Site {
    Site::new()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
        .with("OTEL_BSP_EXPORT_TIMEOUT", "2000")
        .with("OTEL_BSP_SCHEDULE_DELAY", "50")
}

#[test]
fn a_collector_that_accepts_in_time_however_slowly_has_exactly_what_the_account_says() {
    for behaviour in [Behaviour::Accept, Behaviour::Slow(Duration::from_millis(300))] {
        let collector = Collector::start(behaviour);
        let service = impatient(&collector.endpoint())
            .with("OTEL_EXPORTER_OTLP_TIMEOUT", "20000")
            .with("OTEL_BSP_EXPORT_TIMEOUT", "20000")
            .start();
        burst(service.http, BURST);
        let account = service.account_at_rest();
        assert!(account.ended >= SPANS * BURST as u64, "{account:?}");
        assert_eq!((account.failed, account.dropped), (0, 0), "{account:?}");
        assert_eq!(collector.spans().len() as u64, account.exported);
        service.stop();
    }
}

#[test]
fn a_collector_that_sends_elsewhere_is_not_followed() {
    let (collector, elsewhere) = (RawGateway::start(), RawGateway::start());
    let answer = format!("HTTP/1.1 307 x\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", elsewhere.url());
    collector.always(Act::Bytes(answer.leak()));
    let service = impatient(&format!("http://{}", collector.address))
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        .with("OTEL_EXPORTER_OTLP_HEADERS", "x-key=secret")
        .start();
    burst(service.http, 10);
    let account = service.account_at_rest();
    assert_eq!((account.exported, account.failed), (0, account.ended), "{account:?}");
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_collector_that_never_takes_anything_has_every_span_counted_as_failed_or_dropped() {
    let collector = Collector::start(Behaviour::Fail(usize::MAX, Code::Unavailable));
    let service = impatient(&collector.endpoint()).start();
    burst(service.http, BURST);
    let account = service.account_at_rest();
    assert_eq!((account.exported, account.failed + account.dropped), (0, account.ended), "{account:?}");
    assert!(collector.calls() > 1, "it was not asked again");
}

#[test]
fn a_queue_with_a_bound_of_its_own_drops_the_rest() {
    let hole = TcpListener::bind("127.0.0.1:0").unwrap();
    let service = impatient(&format!("http://{}", hole.local_addr().unwrap()))
        .with("OTEL_EXPORTER_OTLP_TIMEOUT", "10000")
        .with("OTEL_BSP_EXPORT_TIMEOUT", "10000")
        .with("OTEL_BSP_MAX_QUEUE_SIZE", "500")
        .start();
    burst(service.http, BURST);
    service.until_drained();
    let account = service.metrics().account();
    assert!(account.is_exact() && account.queued <= 500 && account.dropped > 500, "{account:?}");
}

#[test]
fn a_collector_that_is_killed_and_comes_back_loses_only_what_the_account_says() {
    let collector = Collector::start(Behaviour::Accept);
    let address = collector.address;
    let service = impatient(&collector.endpoint()).start();
    burst(service.http, BURST);
    until_so("spans are exported", || !collector.spans().is_empty());
    // Nobody holds the port meanwhile; a retry finds it closed.
    let received = thread::scope(|scope| {
        scope.spawn(|| burst(service.http, BURST));
        until_so("more spans are exported", || collector.calls() > 3);
        collector.stop()
    });
    let account = service.account_at_rest();
    // What it took without its answer arriving has failed here, though it is there.
    assert!(account.failed > 0 && account.exported <= received as u64, "{received} {account:?}");
    assert_eq!(account.dropped, 0, "{account:?}");
    let again = Collector::at(address, Behaviour::Accept);
    burst(service.http, BURST);
    let after = service.account_at_rest();
    assert!(after.exported - account.exported >= SPANS * BURST as u64, "{account:?} {after:?}");
    assert_eq!(after.exported - account.exported, again.spans().len() as u64, "{account:?} {after:?}");
    assert_eq!(after.failed, account.failed, "{account:?} {after:?}");
    let output = service.stop_and_read();
    assert!(output.contains("spans cannot be exported") && output.contains("spans are exported again"));
}

#[test]
fn a_collector_that_asks_for_a_long_rest_ends_no_export_for_good() {
    for answer in [
        "HTTP/1.1 503 No\r\nretry-after: 9223372036854775807\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 429 No\r\nretry-after: 60\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 503 No\r\nretry-after: Thu, 01 Jan 2099 00:00:00 GMT\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 400 No\r\ncontent-length: 0\r\n\r\n",
    ] {
        let collector = RawGateway::start();
        collector.always(Act::Bytes(answer));
        let service = impatient(&format!("http://{}", collector.address))
            .with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            .start();
        service.accept();
        until_so("it was refused", || !collector.sent().is_empty());
        collector.always(Act::Status(200));
        until_so("spans are exported again", || {
            service.accept();
            service.metrics().account().exported > 0
        });
        assert!(service.account_at_rest().failed > 0, "{answer}");
        service.stop();
    }
}

#[test]
fn spellings_of_settings_that_others_use_do_not_stop_the_start() {
    for (key, value) in [
        ("OTEL_SDK_DISABLED", "True"),
        ("OTEL_TRACES_SAMPLER", "ALWAYS_ON"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC"),
    ] {
        let service =
            Site::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").with(key, value).start();
        service.accept();
        service.stop();
    }
}

#[test]
fn two_service_names_are_one_for_lines_and_spans() {
    let collector = Collector::start(Behaviour::Accept);
    let two = "service.name=one,deployment.environment.name=test,service.name=two";
    let site = Site::new().exporting_to(&collector.endpoint()).with("OTEL_RESOURCE_ATTRIBUTES", two);
    let output = site.start().stop_and_read();
    let attributes = collector.received().remove(0).resource.unwrap().attributes;
    assert!(attributes.iter().any(|attribute| attribute.key == "deployment.environment.name"));
    let [name] = &attributes.iter().filter(|one| one.key == "service.name").collect::<Vec<_>>()[..] else {
        panic!("{attributes:?}")
    };
    let told = format!("{:?}", name.value);
    let mut lines = output.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert!(lines.all(|line| told.contains(line["service"].as_str().unwrap())), "{told}: {output}");
}

/// Ends the clients also where the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// A few seconds of notifications that are accepted, and of requests that end more spans with less work. Returns the
/// most memory that the process held.
fn load(service: &Service) -> u64 {
    let stopped = &AtomicBool::new(false);
    thread::scope(|scope| {
        for request in [("POST", ASYNC, MESSAGE, 202), ("GET", "/nowhere", "", 404)] {
            for _ in 0..CLIENTS {
                scope.spawn(move || {
                    let mut connection = Connection::open(service.http).unwrap();
                    while !stopped.load(Relaxed) {
                        ask_at_once(&mut connection, request);
                    }
                });
            }
        }
        let (_stop, begun, mut most) = (Stop(stopped), Instant::now(), 0);
        until("the load is over", || {
            most = most.max(service.resident());
            (begun.elapsed() >= A_FEW_SECONDS).then_some(most)
        })
    })
}

/// The account once nothing ends any more; what waits for a collector may go on waiting.
fn exact_account(service: &Service) -> Account {
    service.until_drained();
    let mut before = 0;
    until("an exact account at rest", || {
        let account = service.metrics().account();
        let at_rest = std::mem::replace(&mut before, account.ended) == account.ended;
        (at_rest && account.is_exact()).then_some(account)
    })
}

/// Puts load on a service with the default settings, first with a collector that works and then with what `trouble`
/// makes of it on the same address. What `trouble` returns lives until the end.
fn endure<T>(site: &Site, trouble: impl FnOnce() -> T) {
    let service = site.start();
    load(&service);
    let healthy = service.account_at_rest();
    assert!(healthy.exported > 0 && healthy.failed + healthy.dropped == 0, "{healthy:?}");
    let quiet = service.resident();
    let kept = trouble();
    let grown = load(&service).saturating_sub(quiet);
    assert!(grown <= MOST_GROWTH, "grown by {grown} bytes over {quiet}");
    let account = exact_account(&service);
    assert!(account.ended > healthy.ended, "{account:?}");
    service.stop();
    drop(kept);
}

fn patient(address: SocketAddr) -> Site {
    Site::new().with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
}

/// The same for a collector over gRPC that ends, and another on its address.
fn endure_after<T>(trouble: impl FnOnce(SocketAddr) -> T) {
    let collector = Collector::start(Behaviour::Accept);
    let address = collector.address;
    endure(&patient(address), move || {
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
fn a_collector_over_http_that_answers_503() {
    let collector = RawGateway::start();
    let site = patient(collector.address).with("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let mut taken = 0;
    endure(&site, || {
        taken = collector.sent().len();
        collector.always(Act::Status(503));
    });
    assert!(collector.sent().len() > taken, "it was asked again");
}
