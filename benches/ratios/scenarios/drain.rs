//! How fast a backlog is delivered: in process against what the store can claim and complete, and over HTTP
//! against a bare loop of calls.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Promise, Rows};
use crate::bench::Bench;
use crate::child::{Child, Environment};
use crate::machine::Watch;
use crate::repeat::repeat;
use crate::report::Goal::{AtLeast, None as Told};
use crate::rounds::rest;
use crate::service::{Delivery, Mode, Service, Telemetry};
use crate::{Result, ceiling, servers};

const CONSOLE: Promise = Promise("drain in process / SQLite's claim and complete", "", AtLeast(0.3, 0.8));
const HTTP: Promise =
    Promise("drain over HTTP / the smaller of SQLite and a bare loop", "", AtLeast(0.4, 0.8));
const SPEED: Promise = Promise("drain in process", "jobs/s", Told);

/// What [`measure`] tells.
pub const PROMISES: [Promise; 3] = [CONSOLE, HTTP, SPEED];

const DEADLINE: Duration = Duration::from_secs(120);

/// Jobs or calls a second.
struct Speeds {
    sqlite: f64,
    console: f64,
    calls: f64,
    http: f64,
}

/// # Errors
/// When the service fails, or the machine is never quiet.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let (_gateway, gateway) = Child::own(servers::GATEWAY, &Environment::new())?;
    let jobs = bench.options.few_jobs();
    let speeds = repeat(&bench.options, |_| {
        let (console, http) = (bench.filled("console", jobs)?, bench.filled("http", jobs)?);
        rest()?;
        let watch = Watch::start()?;
        let speeds = Speeds {
            sqlite: ceiling::claim_and_complete(&bench.empty("ceiling")?, jobs)?,
            console: speed(bench, Delivery::Console, &console, jobs)?.speed,
            calls: ceiling::calls(gateway, bench.options.window())?,
            http: speed(bench, Delivery::HttpInPlenty(gateway), &http, jobs)?.speed,
        };
        let Speeds { sqlite, console, calls, http } = speeds;
        eprintln!("  sqlite {sqlite:.0}/s, console {console:.0}/s, calls {calls:.0}/s, http {http:.0}/s");
        Ok((speeds, watch.foreign()?))
    })?;
    let middle = |figure: fn(&Speeds) -> f64| speeds.middle(figure).unwrap_or(f64::NAN);
    let raw = format!(
        "{jobs} jobs; SQLite {:.0}/s, in process {:.0}/s, calls {:.0}/s, over HTTP {:.0}/s",
        middle(|it| it.sqlite),
        middle(|it| it.console),
        middle(|it| it.calls),
        middle(|it| it.http),
    );
    rows.add(CONSOLE, speeds.middle(|it| it.console / it.sqlite), speeds.doubtful, raw.clone());
    let http = speeds.middle(|it| it.http / it.sqlite.min(it.calls));
    rows.add(HTTP, http, speeds.doubtful, raw.clone());
    rows.add(SPEED, speeds.middle(|it| it.console), speeds.doubtful, raw);
    Ok(())
}

/// One drain of a filled store.
pub struct Drain {
    /// Jobs a second, between the first and the ninth tenth of `jobs`.
    pub speed: f64,
    /// From start to ready.
    pub ready_after: Duration,
    /// Resident memory of the service when it was ready, and after the drain, in bytes.
    pub resident: [u64; 2],
}

/// Starts the service on a filled store and waits until it has delivered `jobs` of them, telemetry on.
///
/// # Errors
/// When it fails, or is not done within two minutes.
pub fn speed(bench: &Bench, delivery: Delivery, folder: &Path, jobs: u64) -> Result<Drain> {
    let mut service = Service::start(bench, Mode { telemetry: Telemetry::On, delivery }, folder)?;
    let ready_resident = crate::machine::resident(service.child.pid())?;
    let started = Instant::now();
    let mut points: Vec<(Instant, u64)> = Vec::new();
    loop {
        let delivered = service.delivered()?;
        points.push((Instant::now(), delivered));
        if delivered >= jobs * 9 / 10 {
            break;
        }
        if started.elapsed() > DEADLINE {
            return Err(format!("{delivered} of {jobs} jobs were delivered within two minutes").into());
        }
        service.child.still_runs()?;
        // Each look at the metrics costs the service as much as ten deliveries.
        sleep(Duration::from_millis(50));
    }
    let from = points.iter().find(|(_, delivered)| *delivered >= jobs / 10).or(points.first());
    let (Some((begin, first)), Some((end, last))) = (from, points.last()) else {
        return Err("no point".into());
    };
    let seconds = (*end - *begin).as_secs_f64();
    if first == last || seconds == 0.0 {
        return Err("the backlog was delivered before it could be measured".into());
    }
    let resident = [ready_resident, crate::machine::resident(service.child.pid())?];
    Ok(Drain { speed: (last - first) as f64 / seconds, ready_after: service.ready_after, resident })
}
