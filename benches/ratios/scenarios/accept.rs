//! The accept call: the service with full telemetry and without, against the bare handler and the Go reference.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use super::{Promise, Rows};
use crate::account::Account;
use crate::bench::{Bench, target};
use crate::child::Child;
use crate::report::Goal::{AtLeast, AtMost, None as Told};
use crate::rounds::{Peer, Rounds, Sample, alternate};
use crate::service::{Delivery, Mode, Service};
use crate::{Result, reference, servers};

const CPU: Promise = Promise("accept: CPU a request, service / bare", "", AtMost(3.2, 1.6));
const RATE: Promise = Promise("accept: requests/s, service / bare", "", AtLeast(0.35, 0.70));
const P99: Promise = Promise("accept: p99, service / bare", "", AtMost(2.0, 1.0));
const TELEMETRY: Promise = Promise("telemetry on / off: CPU a request", "", AtMost(1.4, 1.15));
const AGAINST_GO: Promise = Promise("accept: requests/s, service / Go", "", AtLeast(1.5, 3.0));
const REFUSED: Promise = Promise("accept: not answered with 2xx", "", AtMost(0.0, 0.0));
const SPANS: Promise = Promise("telemetry: spans dropped or failed", "", AtMost(0.0, 0.0));
const EXACT: Promise = Promise("telemetry: spans missing in the account", "", AtMost(0.0, 0.0));
const LINES: Promise = Promise("telemetry: lines dropped or not read", "", AtMost(0.0, 0.0));
const GO_RATE: Promise = Promise("reference: requests/s, Go / bare", "", Told);
const GO_CPU: Promise = Promise("reference: CPU a request, Go / bare", "", Told);

/// What [`measure`] tells.
pub const PROMISES: [Promise; 11] =
    [CPU, RATE, P99, TELEMETRY, AGAINST_GO, REFUSED, SPANS, EXACT, LINES, GO_RATE, GO_CPU];

/// The peers' names.
const BARE: &str = servers::BARE;
const GO: &str = "go";
const ON: &str = "service";
const OFF: &str = "telemetry off";

/// # Errors
/// When the bare handler can't be measured. Another peer that does not start costs its own figures only.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let bare = Child::own(BARE)?;
    let go = reference::start(bench, &target());
    let held = |telemetry, folder| {
        Service::start(
            bench,
            Mode { telemetry, delivery: Delivery::Held, guarded: true },
            &bench.empty(folder)?,
        )
    };
    let (on, off) = (held(true, "on"), held(false, "off"));
    let mut peers = vec![peer(BARE, &bare)];
    match &go {
        Ok(go) => peers.push(peer(GO, go)),
        Err(reason) => rows.missing(&[GO_RATE, GO_CPU, AGAINST_GO], &reason.to_string()),
    }
    match (&on, &off) {
        (Ok(on), Ok(off)) => peers.extend([
            Peer { name: ON, address: on.http, child: &on.child },
            Peer { name: OFF, address: off.http, child: &off.child },
        ]),
        (Err(reason), _) | (_, Err(reason)) => {
            rows.missing(&PROMISES[..PROMISES.len() - 2], &reason.to_string());
        }
    }
    let rounds = alternate(bench, &peers);
    if let Ok(rounds) = &rounds {
        tell(rows, rounds);
    }
    // The account has to be exact whether or not the machine was quiet.
    if let (Ok(on), Ok(off)) = (on, off) {
        tell_account(rows, &on)?;
        on.stop()?;
        off.stop()?;
    }
    rounds.map(drop)
}

fn peer<'a>(name: &'static str, (child, address): &'a (Child, SocketAddr)) -> Peer<'a> {
    Peer { name, address: *address, child }
}

fn tell(rows: &mut Rows<'_>, rounds: &Rounds) {
    let doubtful = rounds.doubtful;
    let mut ratio = |promise, name, against, figure: fn(&Sample) -> f64| {
        let raw = format!("{}; {}", rounds.raw(name), rounds.raw(against));
        rows.add(promise, rounds.ratio(name, against, figure), doubtful, raw);
    };
    ratio(CPU, ON, BARE, Sample::cpu_each);
    ratio(RATE, ON, BARE, Sample::rate);
    ratio(P99, ON, BARE, Sample::p99_ms);
    ratio(TELEMETRY, ON, OFF, Sample::cpu_each);
    ratio(AGAINST_GO, ON, GO, Sample::rate);
    ratio(GO_RATE, GO, BARE, Sample::rate);
    ratio(GO_CPU, GO, BARE, Sample::cpu_each);
    let failures = rounds.median(ON, Sample::rate).map(|_| rounds.failures(ON) + rounds.failures(OFF));
    let sink = rounds.median(ON, Sample::sink_each).unwrap_or(0.0);
    let raw = format!("{} rounds disturbed; the sink took {sink:.1} µs a request", rounds.disturbed);
    rows.add(REFUSED, failures.map(|count| count as f64), false, raw);
}

/// Tells what became of every span and line of the run that had telemetry on.
fn tell_account(rows: &mut Rows<'_>, service: &Service) -> Result<()> {
    let account = account_at_rest(service)?;
    let raw = format!(
        "{} ended, {} exported, {} failed, {} dropped, {} queued",
        account.ended, account.exported, account.failed, account.dropped, account.queued
    );
    rows.add(SPANS, Some(account.dropped + account.failed), false, raw.clone());
    rows.add(EXACT, Some(account.spans_missing()), false, raw);
    let read = service.child.lines() as f64;
    let raw = format!("{} written, {} dropped, {read} read", account.lines_written, account.lines_dropped);
    rows.add(LINES, Some(account.lines_dropped + (account.lines_written - read).max(0.0)), false, raw);
    Ok(())
}

/// The account once nothing is queued any more, or after ten seconds as it is then.
fn account_at_rest(service: &Service) -> Result<Account> {
    for _ in 0..100 {
        let account = Account::read(&service.metrics()?).ok_or("a telemetry metric is missing")?;
        if account.queued == 0.0 {
            // What is written now has to come through the pipe before its lines are counted.
            sleep(Duration::from_millis(200));
            return Ok(account);
        }
        sleep(Duration::from_millis(100));
    }
    Account::read(&service.metrics()?).ok_or_else(|| "a telemetry metric is missing".into())
}
