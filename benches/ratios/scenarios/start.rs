//! A start on an empty store: how soon it answers, and what it keeps in memory when idle.

use std::time::{Duration, Instant};

use super::{Promise, Rows};
use crate::Result;
use crate::bench::{Bench, ROUTE};
use crate::http::call;
use crate::machine::{Watch, resident};
use crate::repeat::repeat;
use crate::report::Goal::AtMost;
use crate::service::{Delivery, Mode, Service, Telemetry};

const ANSWER: Promise = Promise("start to the first accepted request", "ms", AtMost(300.0, 50.0));
const READY: Promise = Promise("start to ready, empty store", "ms", AtMost(300.0, 50.0));
const IDLE: Promise = Promise("memory when idle", "MB", AtMost(40.0, 20.0));

/// What [`measure`] tells.
pub const PROMISES: [Promise; 3] = [ANSWER, READY, IDLE];

const DEADLINE: Duration = Duration::from_secs(30);
/// What an idle process still tidies up is done by then.
const IDLE_AFTER: Duration = Duration::from_secs(2);

struct Start {
    answer: Duration,
    ready: Duration,
    idle: u64,
}

/// # Errors
/// When the service does not start or stop, or the machine is never quiet.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let mode = Mode { telemetry: Telemetry::On, delivery: Delivery::Console };
    let starts = repeat(&bench.options, |_| {
        let watch = Watch::start()?;
        let (answer, idle) = first_answer(bench, mode)?;
        let service = Service::start(bench, mode, &bench.empty("start")?)?;
        let ready = service.ready_after;
        service.stop()?;
        eprintln!("  answered after {answer:.1?}, ready after {ready:.1?}, {:.1} MB", idle as f64 / 1e6);
        Ok((Start { answer, ready, idle }, watch.foreign()?))
    })?;
    let raw = format!("median of {} starts", starts.values.len());
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    rows.add(ANSWER, starts.middle(|it| milliseconds(it.answer)), starts.doubtful, raw.clone());
    rows.add(READY, starts.middle(|it| milliseconds(it.ready)), starts.doubtful, raw.clone());
    rows.add(IDLE, starts.middle(|it| it.idle as f64 / 1e6), false, raw);
    Ok(())
}

/// From the start until a notification was accepted, and resident memory a while after it.
fn first_answer(bench: &Bench, mode: Mode) -> Result<(Duration, u64)> {
    let folder = bench.empty("start")?;
    let started = Instant::now();
    let mut service = Service::begin(bench, mode, &folder)?;
    let body = r#"{"patientId":"p-000001","message":"Good morning."}"#;
    let answer = loop {
        if matches!(call(service.http, "POST", ROUTE, body), Ok((202, _))) {
            break started.elapsed();
        }
        service.child.still_runs()?;
        if started.elapsed() > DEADLINE {
            return Err("nothing was accepted within 30 s of the start".into());
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    std::thread::sleep(IDLE_AFTER);
    let idle = resident(service.child.pid())?;
    service.stop()?;
    Ok((answer, idle))
}
