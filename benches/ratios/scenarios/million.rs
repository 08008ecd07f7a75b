//! What a million queued jobs change: accept, drain, memory, restart.

use super::drain::{Drain, speed};
use super::{Promise, Rows};
use crate::Result;
use crate::bench::Bench;
use crate::histogram::median;
use crate::machine::{Watch, resident};
use crate::repeat::repeat;
use crate::report::Goal::{AtLeast, AtMost, None as Told};
use crate::rounds::{Peer, Sample, alternate, rest};
use crate::service::{Delivery, Mode, Service, Telemetry};

const RATE: Promise = Promise("a million queued / empty: accepts/s", "", AtLeast(0.8, 0.95));
const CPU: Promise = Promise("a million queued / empty: CPU a request", "", AtMost(1.25, 1.05));
const DRAIN: Promise = Promise("a million queued / a tenth of it: drain", "", AtLeast(0.8, 0.95));
const MEMORY: Promise = Promise("memory with a million queued", "MB", AtMost(150.0, 80.0));
const RESTART: Promise = Promise("start to ready with a million queued", "s", AtMost(3.0, 1.0));
const FILL: Promise = Promise("filling it through the API", "jobs/s", Told);

/// What [`measure`] tells.
pub const PROMISES: [Promise; 6] = [RATE, CPU, DRAIN, MEMORY, RESTART, FILL];

const EMPTY: &str = "empty";
const FULL: &str = "a million queued";
/// With fewer jobs the figures are told, and not judged.
const MILLION: u64 = 1_000_000;
const MEGABYTE: f64 = 1e6;

/// # Errors
/// When the service fails, or the machine is never quiet.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let jobs = bench.options.jobs();
    let mut memory = accept(bench, rows, jobs)?;
    let doubtful = |disturbed: bool| disturbed || jobs < MILLION;
    let few = bench.options.few_jobs();
    let drains = repeat(&bench.options, |_| {
        let (small, large) = (bench.filled("small", few)?, bench.filled("large", jobs)?);
        rest()?;
        let watch = Watch::start()?;
        // As many deliveries are timed on both, so that the large store stays nearly as large.
        let small = speed(bench, Delivery::Console, &small, few)?;
        let large = speed(bench, Delivery::Console, &large, few)?;
        eprintln!("  {}; {}", describe(&small), describe(&large));
        Ok(((small, large), watch.foreign()?))
    })?;
    memory.extend(drains.values.iter().flat_map(|(_, large)| large.resident).map(|it| it as f64 / MEGABYTE));
    let ratio = drains.middle(|(small, large)| large.speed / small.speed);
    let raw = format!(
        "{few} jobs of {few}: {:.0}/s; of {jobs}: {:.0}/s",
        drains.middle(|it| it.0.speed).unwrap_or(f64::NAN),
        drains.middle(|it| it.1.speed).unwrap_or(f64::NAN)
    );
    rows.add(DRAIN, ratio, doubtful(drains.doubtful), raw);
    let raw = format!(
        "the largest of {} readings, median {:.1} MB",
        memory.len(),
        median(memory.clone()).unwrap_or(0.0)
    );
    rows.add(MEMORY, memory.iter().copied().reduce(f64::max), doubtful(false), raw);
    let ready = |(_, large): &(Drain, Drain)| large.ready_after.as_secs_f64();
    let raw = format!("median of {} restarts on {jobs} jobs", drains.values.len());
    rows.add(RESTART, drains.middle(ready), doubtful(drains.doubtful), raw);
    Ok(())
}

/// Compares the accept call; returns resident memory of the full service, once filled, before and after, in MB.
fn accept(bench: &Bench, rows: &mut Rows<'_>, jobs: u64) -> Result<Vec<f64>> {
    let held = Mode { telemetry: Telemetry::On, delivery: Delivery::Held };
    let full = Service::start(bench, held, &bench.filled("full", jobs)?)?;
    let filling = bench.filling.get();
    let empty = Service::start(bench, held, &bench.empty("empty")?)?;
    rest()?;
    let before = resident(full.child.pid())?;
    let peers = [
        Peer { name: EMPTY, address: empty.http, child: &empty.child },
        Peer { name: FULL, address: full.http, child: &full.child },
    ];
    let rounds = alternate(bench, &peers)?;
    let raw = format!("{}; {}; {jobs} jobs before the first round", rounds.raw(FULL), rounds.raw(EMPTY));
    if let Some(filling) = filling {
        let raw = "256 connections, telemetry off".to_owned();
        rows.add(FILL, Some(filling.rate), false, raw);
    }
    let doubtful = rounds.doubtful || jobs < MILLION;
    rows.add(RATE, rounds.ratio(FULL, EMPTY, Sample::rate), doubtful, raw.clone());
    rows.add(CPU, rounds.ratio(FULL, EMPTY, Sample::cpu_each), doubtful, raw);
    let after = resident(full.child.pid())?;
    full.stop()?;
    empty.stop()?;
    let filled = filling.map(|filling| filling.resident);
    Ok(filled.into_iter().chain([before, after]).map(|bytes| bytes as f64 / MEGABYTE).collect())
}

fn describe(drain: &Drain) -> String {
    let [ready, drained] = drain.resident.map(|bytes| bytes as f64 / MEGABYTE);
    format!(
        "{:.0}/s, ready after {:.0} ms, {ready:.0} MB then and {drained:.0} MB after",
        drain.speed,
        drain.ready_after.as_secs_f64() * 1e3
    )
}
