//! The accept call: the service with full telemetry and without, against the bare handler, the usual stack and the
//! Go reference.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use chassis_test::postgres::Server;

use super::{Promise, Rows};
use crate::account::Account;
use crate::bench::{Bench, Sink, target};
use crate::child::{Child, Environment};
use crate::http::call;
use crate::report::Goal::{AtLeast, AtMost, None as Told};
use crate::rounds::{Peer, Rounds, Sample, alternate, rest};
use crate::service::{Delivery, Mode, Service, Telemetry};
use crate::{Result, reference, servers};

const USUAL_RATE: Promise = Promise("accept: requests/s, service / usual stack", "", AtLeast(0.8, 1.5));
const USUAL_CPU: Promise = Promise("accept: CPU a request, service / usual stack", "", AtMost(1.0, 0.6));
const USUAL_P99: Promise = Promise("accept: p99, service / usual stack", "", Told);
const RATE: Promise = Promise("accept: requests/s, service / bare", "", Told);
const CPU: Promise = Promise("accept: CPU a request, service / bare", "", Told);
const P99: Promise = Promise("accept: p99, service / bare", "", AtMost(2.0, 1.0));
const TELEMETRY: Promise = Promise("telemetry on / off: CPU a request", "", AtMost(1.8, 1.3));
const AGAINST_GO: Promise = Promise("accept: requests/s, service / Go", "", AtLeast(1.1, 2.0));
const POSTGRES_RATE: Promise = Promise("accept: requests/s, on PostgreSQL / bare", "", Told);
const ON_POSTGRES: Promise = Promise("accept: requests/s, on PostgreSQL / on SQLite", "", AtLeast(0.6, 1.0));
const REFUSED: Promise = Promise("accept: not answered with 2xx", "", AtMost(0.0, 0.0));
const SPANS: Promise = Promise("telemetry: spans dropped or failed", "", AtMost(0.0, 0.0));
const EXACT: Promise = Promise("telemetry: spans missing in the account", "", AtMost(0.0, 0.0));
const LINES: Promise = Promise("telemetry: lines dropped or not in the file", "", AtMost(0.0, 0.0));
const YARD_RATE: Promise = Promise("usual stack: requests/s, usual stack / bare", "", Told);
const YARD_CPU: Promise = Promise("usual stack: CPU a request, usual stack / bare", "", Told);
const YARD_LOST: Promise = Promise("usual stack: spans and lines lost", "", Told);
const GO_RATE: Promise = Promise("Go: requests/s, Go / bare", "", Told);
const GO_CPU: Promise = Promise("Go: CPU a request, Go / bare", "", Told);

/// What [`measure`] tells.
pub const PROMISES: [Promise; 19] = [
    USUAL_RATE, USUAL_CPU, USUAL_P99, RATE, CPU, P99, TELEMETRY, AGAINST_GO, POSTGRES_RATE, ON_POSTGRES,
    REFUSED, SPANS, EXACT, LINES, YARD_RATE, YARD_CPU, YARD_LOST, GO_RATE, GO_CPU,
];

/// The peers' names.
const BARE: &str = servers::BARE;
const USUAL: &str = servers::USUAL;
const GO: &str = "go";
const ON: &str = "service";
const OFF: &str = "telemetry off";
const POSTGRES: &str = "on PostgreSQL";

/// # Errors
/// When a peer other than Go can't be started or measured.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let bare = Child::own(BARE, &Environment::new())?;
    let usual = Usual::start()?;
    let go = reference::start(bench, &target());
    let held = |telemetry, folder| {
        Service::start(bench, Mode { telemetry, delivery: Delivery::Held }, &bench.empty(folder)?)
    };
    let (on, off) = (held(Telemetry::On, "on")?, held(Telemetry::Off, "off")?);
    let server = Server::is_installed().then(|| Server::start(&[]));
    let postgres = server.as_ref().map(|server| on_postgres(bench, server)).transpose()?;
    let mut peers = vec![
        peer(BARE, &bare),
        peer(USUAL, &usual.child),
        Peer { name: ON, address: on.http, child: &on.child },
        Peer { name: OFF, address: off.http, child: &off.child },
    ];
    match &go {
        Ok(go) => peers.push(peer(GO, go)),
        Err(reason) => rows.missing(&[GO_RATE, GO_CPU, AGAINST_GO], &reason.to_string()),
    }
    match &postgres {
        Some(service) => peers.push(Peer { name: POSTGRES, address: service.http, child: &service.child }),
        None => rows.missing(&[POSTGRES_RATE, ON_POSTGRES], "PostgreSQL is not installed"),
    }
    let rounds = alternate(bench, &peers);
    if let Ok(rounds) = &rounds {
        tell(rows, rounds);
    }
    // The accounts have to be exact whether or not the machine was quiet.
    tell_account(rows, &on)?;
    usual.tell(rows)?;
    on.stop()?;
    off.stop()?;
    postgres.map_or(Ok(()), Service::stop)?;
    rounds.map(drop)
}

/// The service with everything on, on a server that shares the machine: what the server takes is not its CPU.
fn on_postgres(bench: &Bench, server: &Server) -> Result<Service> {
    let mode = Mode { telemetry: Telemetry::On, delivery: Delivery::Held };
    let url = ("APP_STORE__URL", server.url("postgres"));
    Service::start_with(bench, mode, &bench.empty("postgres")?, &[url])
}

fn peer<'a>(name: &'static str, (child, address): &'a (Child, SocketAddr)) -> Peer<'a> {
    Peer { name, address: *address, child }
}

/// The usual stack with a sink of its own.
struct Usual {
    child: (Child, SocketAddr),
    sink: Sink,
}

impl Usual {
    fn start() -> Result<Self> {
        let sink = Sink::start()?;
        let environment = Environment::from([("OTEL_EXPORTER_OTLP_ENDPOINT", sink.endpoint())]);
        Ok(Self { child: Child::own(USUAL, &environment)?, sink })
    }

    /// Two spans and two lines a request should have arrived; the address was a line too.
    fn tell(&self, rows: &mut Rows<'_>) -> Result<()> {
        rest()?;
        let (child, address) = &self.child;
        let account = call(*address, "GET", "/account", "")?.1;
        let (accepted, dropped) = account.split_once(' ').ok_or("no account")?;
        let wanted = 2 * accepted.parse::<u64>()?;
        let (spans, lines) = (self.sink.spans()?, child.lines()? - 1);
        let lost = wanted.saturating_sub(spans) + wanted.saturating_sub(lines);
        let raw = format!("{wanted} of each; {spans} spans, {lines} lines came; {dropped} lines dropped");
        rows.add(YARD_LOST, Some(lost as f64), false, raw);
        Ok(())
    }
}

fn tell(rows: &mut Rows<'_>, rounds: &Rounds) {
    let doubtful = rounds.doubtful;
    let mut ratio = |promise, name, against, figure: fn(&Sample) -> f64| {
        let raw = format!("{}; {}", rounds.raw(name), rounds.raw(against));
        rows.add(promise, rounds.ratio(name, against, figure), doubtful, raw);
    };
    ratio(USUAL_RATE, ON, USUAL, Sample::rate);
    ratio(USUAL_CPU, ON, USUAL, Sample::cpu_each);
    ratio(USUAL_P99, ON, USUAL, Sample::p99_ms);
    ratio(RATE, ON, BARE, Sample::rate);
    ratio(CPU, ON, BARE, Sample::cpu_each);
    ratio(P99, ON, BARE, Sample::p99_ms);
    ratio(TELEMETRY, ON, OFF, Sample::cpu_each);
    ratio(AGAINST_GO, ON, GO, Sample::rate);
    ratio(POSTGRES_RATE, POSTGRES, BARE, Sample::rate);
    ratio(ON_POSTGRES, POSTGRES, ON, Sample::rate);
    ratio(YARD_RATE, USUAL, BARE, Sample::rate);
    ratio(YARD_CPU, USUAL, BARE, Sample::cpu_each);
    ratio(GO_RATE, GO, BARE, Sample::rate);
    ratio(GO_CPU, GO, BARE, Sample::cpu_each);
    let failures = rounds.failures(ON) + rounds.failures(OFF) + rounds.failures(POSTGRES);
    rows.add(REFUSED, Some(failures as f64), false, format!("{} rounds disturbed", rounds.disturbed));
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
    let read = service.child.lines()? as f64;
    let raw =
        format!("{} written, {} dropped, {read} in the file", account.lines_written, account.lines_dropped);
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
