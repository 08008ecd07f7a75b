//! The accept call while the collector is of no use, against the same with one that works: whatever becomes of spans,
//! callers do not feel it.

use std::net::SocketAddr;

use super::{Promise, Rows};
use crate::Result;
use crate::bench::Bench;
use crate::child::{Child, Environment};
use crate::histogram::median;
use crate::report::Goal::{AtMost, None as Told};
use crate::rounds::{Peer, Rounds, Sample, alternate};
use crate::servers;
use crate::service::{Delivery, Mode, Service, Telemetry, free_addresses};

const REFUSED: Promise =
    Promise("collector refuses: accept's p99 / (1.5 × healthy + 2 ms)", "", AtMost(1.0, 0.7));
const BLACK_HOLE: Promise =
    Promise("collector never answers: accept's p99 / (1.5 × healthy + 2 ms)", "", AtMost(1.0, 0.7));
const SLOW: Promise =
    Promise("collector is slow: accept's p99 / (1.5 × healthy + 2 ms)", "", AtMost(1.0, 0.7));
const ANSWERS_503: Promise =
    Promise("collector answers 503: accept's p99 / (1.5 × healthy + 2 ms)", "", AtMost(1.0, 0.7));
const HEALTHY: Promise = Promise("collector is healthy: accept's p99", "ms", Told);
const NOT_2XX: Promise = Promise("collector of no use: not answered with 2xx", "", AtMost(0.0, 0.0));

/// What [`measure`] tells.
pub const PROMISES: [Promise; 6] = [REFUSED, BLACK_HOLE, SLOW, ANSWERS_503, HEALTHY, NOT_2XX];

const WELL: &str = "healthy";
const TROUBLES: [(&str, Promise); 4] =
    [("refuses", REFUSED), ("never answers", BLACK_HOLE), ("slow", SLOW), ("answers 503", ANSWERS_503)];

/// # Errors
/// When a service or a collector can't be started or measured.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let [nobody] = free_addresses()?;
    let (_slow, slow) = Child::own(servers::SLOW_SINK, &Environment::new())?;
    let (_answers_503, answers_503) = Child::own(servers::SINK_503, &Environment::new())?;
    let collectors = [
        (WELL, bench.sink.address, "grpc"),
        ("refuses", nobody, "grpc"),
        ("never answers", bench.black_hole.local_addr()?, "grpc"),
        ("slow", slow, "grpc"),
        ("answers 503", answers_503, "http/protobuf"),
    ];
    let services: Vec<(&'static str, Service)> = collectors
        .into_iter()
        .map(|(name, collector, protocol)| Ok((name, start(bench, name, collector, protocol)?)))
        .collect::<Result<_>>()?;
    let peers: Vec<Peer<'_>> = services
        .iter()
        .map(|(name, service)| Peer { name, address: service.http, child: &service.child })
        .collect();
    let rounds = alternate(bench, &peers)?;
    rows.add(HEALTHY, rounds.median(WELL, Sample::p99_ms), rounds.doubtful, rounds.raw(WELL));
    for (name, promise) in TROUBLES {
        rows.add(promise, share(&rounds, name), rounds.doubtful, rounds.raw(name));
    }
    let failures: u64 = collectors.iter().map(|(name, ..)| rounds.failures(name)).sum();
    rows.add(NOT_2XX, Some(failures as f64), false, String::new());
    services.into_iter().try_for_each(|(_, service)| service.stop())
}

fn start(bench: &Bench, name: &str, collector: SocketAddr, protocol: &str) -> Result<Service> {
    let mode = Mode { telemetry: Telemetry::On, delivery: Delivery::Held };
    let further = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol.to_owned()),
    ];
    Service::start_with(bench, mode, &bench.empty(&name.replace(' ', "-"))?, &further)
}

/// How much of what it may be a peer's p99 was, in the middle of the rounds.
fn share(rounds: &Rounds, name: &str) -> Option<f64> {
    let p99 = |round: &[Sample], name| round.iter().find(|sample| sample.name == name).map(Sample::p99_ms);
    median(rounds.values.iter().filter_map(|round| Some(p99(round, name)? / (1.5 * p99(round, WELL)? + 2.0))))
}
