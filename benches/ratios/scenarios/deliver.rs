//! The accept call while what is accepted is delivered at once over HTTP, on the same cores.

use super::{Promise, Rows};
use crate::account::value;
use crate::bench::Bench;
use crate::child::{Child, Environment};
use crate::report::Goal::{AtLeast, AtMost, None as Told};
use crate::rounds::{Peer, Sample, alternate, rest};
use crate::service::{Delivery, Mode, Service, Telemetry};
use crate::{Result, servers};

const RATE: Promise = Promise("deliver at once: accepts/s, service / bare", "", AtLeast(0.07, 0.15));
const CPU: Promise = Promise("deliver at once: CPU a request, service / bare", "", Told);
const LEFT: Promise = Promise("deliver at once: accepted, not delivered", "jobs", AtMost(0.0, 0.0));

/// What [`measure`] tells.
pub const PROMISES: [Promise; 3] = [RATE, CPU, LEFT];

const ON: &str = "delivering";

/// # Errors
/// When a peer does not start, or the machine is never quiet.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let (bare, address) = Child::own(servers::BARE, &Environment::new())?;
    let (_gateway, url) = Child::own(servers::GATEWAY, &Environment::new())?;
    let mode = Mode { telemetry: Telemetry::On, delivery: Delivery::Http(url) };
    let service = Service::start(bench, mode, &bench.empty("delivering")?)?;
    let peers = [
        Peer { name: servers::BARE, address, child: &bare },
        Peer { name: ON, address: service.http, child: &service.child },
    ];
    let rounds = alternate(bench, &peers)?;
    rest()?;
    let raw = format!("{}; {}", rounds.raw(ON), rounds.raw(servers::BARE));
    let ratio = |figure: fn(&Sample) -> f64| rounds.ratio(ON, servers::BARE, figure);
    rows.add(RATE, ratio(Sample::rate), rounds.doubtful, raw.clone());
    rows.add(CPU, ratio(Sample::cpu_each), rounds.doubtful, format!("deliveries included; {raw}"));
    let accepted = value(&service.metrics()?, "notification_accepted_total", &[]).unwrap_or(0.0);
    let delivered = service.delivered()? as f64;
    let raw = format!("{accepted} accepted, {delivered} delivered once the backlog was empty");
    rows.add(LEFT, Some(accepted - delivered), false, raw);
    service.stop()
}
