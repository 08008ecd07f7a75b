//! What a read over gRPC costs on the service as it is (keys, limits, telemetry, a report in the store) against a
//! bare handler that answers with the same message.

use super::{Promise, Rows};
use crate::Result;
use crate::bench::Bench;
use crate::calls::{CONTENT, Calls, PATIENT};
use crate::child::{Child, Environment};
use crate::http::call;
use crate::report::Goal::{AtMost, None as Told};
use crate::rounds::{Peer, Sample, alternate_by};
use crate::servers;
use crate::service::{Delivery, Mode, Service, Telemetry};

const CPU: Promise = Promise("gRPC read / bare: CPU a call", "", AtMost(2.5, 1.5));
const RATE: Promise = Promise("gRPC read / bare: calls/s", "", Told);
const P99: Promise = Promise("gRPC read / bare: p99", "", Told);
const REFUSED: Promise = Promise("gRPC read: not answered with OK", "", AtMost(0.0, 0.0));

/// What [`measure`] tells.
pub const PROMISES: [Promise; 4] = [CPU, RATE, P99, REFUSED];

/// The peers' names.
const FULL: &str = "gRPC read";
const BARE: &str = "bare gRPC";

/// # Errors
/// When one of the two can't be started or measured.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let mode = Mode { telemetry: Telemetry::On, delivery: Delivery::Held };
    let full = Service::start(bench, mode, &bench.empty("grpc")?)?;
    let report = format!(r#"{{"patientId":"{PATIENT}","content":"{CONTENT}"}}"#);
    match call(full.http, "POST", "/api/v1/reports", &report)? {
        (201, _) => {}
        (status, body) => return Err(format!("the report was refused: {status} {body}").into()),
    }
    let (bare, address) = Child::own(servers::BARE_GRPC, &Environment::new())?;
    let peers = [
        Peer { name: FULL, address: full.grpc, child: &full.child },
        Peer { name: BARE, address, child: &bare },
    ];
    let at_once = bench.options.connections.into();
    let rounds = alternate_by(bench, &peers, |address| Calls::open(address, at_once))?;
    let raw = || format!("{}; {}", rounds.raw(FULL), rounds.raw(BARE));
    rows.add(CPU, rounds.ratio(FULL, BARE, Sample::cpu_each), rounds.doubtful, raw());
    rows.add(RATE, rounds.ratio(FULL, BARE, Sample::rate), rounds.doubtful, raw());
    rows.add(P99, rounds.ratio(FULL, BARE, Sample::p99_ms), rounds.doubtful, raw());
    let failures = rounds.failures(FULL) + rounds.failures(BARE);
    rows.add(REFUSED, Some(failures as f64), false, String::new());
    full.stop()
}
