//! What each layer between the socket and the handler costs: the bare handler under one group of layers more after
//! the other, then with spans and lines, and at last the service itself.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Promise, Rows};
use crate::Result;
use crate::bench::{BODY, Bench, ROUTE};
use crate::child::{COMMAND, Child, Environment};
use crate::http::call;
use crate::layered::Upto;
use crate::report::Goal::{AtMost, None as Told};
use crate::rounds::{Peer, Sample, alternate};
use crate::servers;
use crate::service::{Delivery, Mode, Service, Telemetry, common, free_addresses, key_file};

/// Each step's name, how its server is started, and what it adds to the one before.
const STEPS: [(&str, Upto, Telemetry, Promise); 7] = [
    ("+ listener", Upto::Listener, Telemetry::Off, added("layers: listener with time-outs and a limit")),
    ("+ basics", Upto::Basics, Telemetry::Off, added("layers: headers, panics, in flight, size and time")),
    ("+ caller", Upto::Caller, Telemetry::Off, added("layers: host check, key, scope")),
    ("+ rate limit", Upto::Limit, Telemetry::Off, added("layers: rate limit")),
    ("+ trace layers", Upto::Trace, Telemetry::Off, added("layers: trace and metrics, nobody listens")),
    ("+ spans", Upto::Trace, Telemetry::Spans, added("layers: one span, exported")),
    ("+ lines", Upto::Trace, Telemetry::On, added("layers: one line, written")),
];
const SERVICE: Promise = added("layers: the rest of the service: checks, queue, store, a span, a line");
const REFUSED: Promise = Promise("layers: not answered with 2xx", "", AtMost(0.0, 0.0));

/// What [`measure`] tells.
pub const PROMISES: [Promise; 9] =
    [STEPS[0].3, STEPS[1].3, STEPS[2].3, STEPS[3].3, STEPS[4].3, STEPS[5].3, STEPS[6].3, SERVICE, REFUSED];

const FULL: &str = "service";
const START_DEADLINE: Duration = Duration::from_secs(10);

const fn added(what: &'static str) -> Promise {
    Promise(what, "µs", Told)
}

/// # Errors
/// When one of the servers can't be started or measured.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let (bare, address) = Child::own(servers::BARE, &Environment::new())?;
    let folder = bench.empty("layers")?;
    let steps: Vec<(Child, SocketAddr)> = STEPS
        .iter()
        .map(|(_, upto, telemetry, _)| start(bench, *upto, *telemetry, &folder))
        .collect::<Result<_>>()?;
    let mode = Mode { telemetry: Telemetry::On, delivery: Delivery::Held };
    let full = Service::start(bench, mode, &bench.empty("full")?)?;

    let mut peers = vec![Peer { name: servers::BARE, address, child: &bare }];
    peers.extend(STEPS.iter().zip(&steps).map(|((name, ..), (child, address))| Peer {
        name,
        address: *address,
        child,
    }));
    peers.push(Peer { name: FULL, address: full.http, child: &full.child });
    let rounds = alternate(bench, &peers)?;
    let promises = STEPS.iter().map(|(.., promise)| *promise).chain([SERVICE]);
    for (pair, promise) in peers.windows(2).zip(promises) {
        let added = rounds.difference(pair[1].name, pair[0].name, Sample::cpu_each);
        rows.add(promise, added, rounds.doubtful, rounds.raw(pair[1].name));
    }
    let failures: u64 = peers.iter().map(|peer| rounds.failures(peer.name)).sum();
    rows.add(REFUSED, Some(failures as f64), false, rounds.raw(servers::BARE));
    full.stop()
}

/// Starts the bare handler under these layers, and waits until it accepts.
fn start(bench: &Bench, upto: Upto, telemetry: Telemetry, folder: &Path) -> Result<(Child, SocketAddr)> {
    let [address] = free_addresses()?;
    let mut environment = common(bench, telemetry);
    environment.insert("APP_HTTP__LISTEN", address.to_string());
    environment.insert("APP_AUTH__API_KEYS_FILE", key_file(folder)?);
    let arguments = [COMMAND, servers::LAYERED, upto.word()];
    let mut child = Child::start(servers::LAYERED, &std::env::current_exe()?, &arguments, &environment)?;
    let started = Instant::now();
    while started.elapsed() < START_DEADLINE {
        if matches!(call(address, "POST", ROUTE, BODY), Ok((202, _))) {
            return Ok((child, address));
        }
        child.still_runs()?;
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("the handler under {} accepted nothing", upto.word()).into())
}
