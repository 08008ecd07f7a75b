//! What the layers before the handler cost: who calls, how much they may, whether they may this, and what the
//! answer says of it. The service as it is against itself without them, telemetry on in both.

use super::{Promise, Rows};
use crate::Result;
use crate::bench::Bench;
use crate::report::Goal::{AtMost, None as Told};
use crate::rounds::{Peer, Sample, alternate_with};
use crate::service::{Delivery, Mode, Service};

const CPU: Promise = Promise("layers on / off: CPU a request", "", AtMost(1.15, 1.05));
const RATE: Promise = Promise("layers on / off: requests/s", "", Told);
const REFUSED: Promise = Promise("layers: not answered with 2xx", "", AtMost(0.0, 0.0));

/// What [`measure`] tells.
pub const PROMISES: [Promise; 3] = [CPU, RATE, REFUSED];

/// The peers' names.
const ON: &str = "layers on";
const OFF: &str = "layers off";

/// # Errors
/// When one of the two can't be started or measured.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let held = |guarded, folder| {
        let mode = Mode { telemetry: true, delivery: Delivery::Held, guarded };
        Service::start(bench, mode, &bench.empty(folder)?)
    };
    let (on, off) = (held(true, "on")?, held(false, "off")?);
    let peers = [
        Peer { name: ON, address: on.http, child: &on.child },
        Peer { name: OFF, address: off.http, child: &off.child },
    ];
    let rounds = alternate_with(bench, &bench.options.doubled(), &peers)?;
    let raw = || format!("{}; {}", rounds.raw(ON), rounds.raw(OFF));
    rows.add(CPU, rounds.ratio(ON, OFF, Sample::cpu_each), rounds.doubtful, raw());
    rows.add(RATE, rounds.ratio(ON, OFF, Sample::rate), rounds.doubtful, raw());
    let failures = rounds.failures(ON) + rounds.failures(OFF);
    rows.add(REFUSED, Some(failures as f64), false, String::new());
    on.stop()?;
    off.stop()
}
