//! Alternating rounds: each peer in turn, over and over, so that a drift of the machine meets them all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Result;
use crate::bench::Bench;
use crate::child::Child;
use crate::histogram::median;
use crate::load::{Asks, Load};
use crate::machine::{Watch, cpu_time};
use crate::repeat::{FOREIGN, Repeated, repeat};

/// Load that comes before a measurement: connections, caches, allocators, the processor's clock.
const WARM_UP: Duration = Duration::from_millis(700);
/// Our processes are at rest when they use less of one core than this.
const REST: f64 = 0.05;
const REST_DEADLINE: Duration = Duration::from_secs(120);

/// One server in a comparison.
pub struct Peer<'a> {
    pub name: &'static str,
    pub address: SocketAddr,
    pub child: &'a Child,
}

/// What one peer did in one round.
#[derive(Clone)]
pub struct Sample {
    pub name: &'static str,
    pub answered: u64,
    pub refused: u64,
    pub broken: u64,
    pub elapsed: Duration,
    /// User and system time of the server.
    pub cpu: Duration,
    pub p50: Duration,
    pub p99: Duration,
    pub foreign: f64,
}

impl Sample {
    /// Answers with 2xx a second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// Server CPU for each such answer, in microseconds.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.answered as f64
    }

    pub fn p99_ms(&self) -> f64 {
        self.p99.as_secs_f64() * 1e3
    }
}

/// The rounds of one comparison.
pub type Rounds = Repeated<Vec<Sample>>;

/// Measures the peers in turn until enough undisturbed rounds are there.
///
/// # Errors
/// When a peer fails, or the machine is never quiet.
pub fn alternate(bench: &Bench, peers: &[Peer<'_>]) -> Result<Rounds> {
    let connections = bench.options.connections.into();
    alternate_by(bench, peers, |address| Ok(Load::open(address, connections, Bench::request())?))
}

/// The same with load of another kind, which is opened anew for each measurement.
///
/// # Errors
/// As [`alternate`]; of `open`.
pub fn alternate_by<L: Asks>(
    bench: &Bench,
    peers: &[Peer<'_>],
    open: impl Fn(SocketAddr) -> Result<L>,
) -> Result<Rounds> {
    repeat(&bench.options, |attempt| {
        let mut round = Vec::new();
        for turn in 0..peers.len() {
            // Each round begins with another peer, so that none always follows the same one.
            let peer = &peers[(turn + attempt as usize) % peers.len()];
            let sample = measure(bench, peer, &open)?;
            eprintln!("  round {:2}  {}", attempt + 1, describe(&sample));
            round.push(sample);
        }
        let foreign = round.iter().map(|sample: &Sample| sample.foreign).fold(0.0, f64::max);
        Ok((round, foreign))
    })
}

fn measure<L: Asks>(
    bench: &Bench,
    peer: &Peer<'_>,
    open: impl Fn(SocketAddr) -> Result<L>,
) -> Result<Sample> {
    rest()?;
    let mut load = open(peer.address)?;
    load.run(WARM_UP, u64::MAX)?;
    let (watch, cpu) = (Watch::start()?, cpu_time(peer.child.pid())?);
    let outcome = load.run(bench.options.window(), u64::MAX)?;
    let sample = Sample {
        name: peer.name,
        answered: outcome.answered,
        refused: outcome.refused,
        broken: outcome.broken,
        elapsed: outcome.elapsed,
        cpu: cpu_time(peer.child.pid())? - cpu,
        p50: Duration::from_nanos(outcome.latency.quantile(0.50)),
        p99: Duration::from_nanos(outcome.latency.quantile(0.99)),
        foreign: watch.foreign()?,
    };
    // What is in flight is answered before the connections close.
    load.run(Duration::from_secs(10), 0)?;
    if sample.answered == 0 {
        return Err(format!("{} answered nothing with 2xx ({} others)", peer.name, sample.refused).into());
    }
    Ok(sample)
}

/// Waits until what the last peer left to do is done: a backlog, spans, a checkpoint.
///
/// # Errors
/// When that takes longer than two minutes.
pub fn rest() -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < REST_DEADLINE {
        let watch = Watch::start()?;
        std::thread::sleep(Duration::from_millis(200));
        if watch.own()? < REST {
            return Ok(());
        }
    }
    Err("the last measurement's work was not done after two minutes".into())
}

pub fn describe(sample: &Sample) -> String {
    let other = match (sample.refused, sample.broken) {
        (0, 0) => String::new(),
        (refused, broken) => format!("  NOT 2xx {refused}, BROKEN {broken}"),
    };
    let disturbed = if sample.foreign > FOREIGN { "  disturbed" } else { "" };
    format!(
        "{:<16} {:7.0}/s  cpu {:6.1} µs  p50 {:6.2} ms  p99 {:6.2} ms  foreign {:4.1} %{disturbed}{other}",
        sample.name,
        sample.rate(),
        sample.cpu_each(),
        sample.p50.as_secs_f64() * 1e3,
        sample.p99_ms(),
        sample.foreign * 100.0,
    )
}

impl Rounds {
    /// The median over the rounds of a figure of one peer.
    pub fn median(&self, name: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(self.values.iter().filter_map(|round| find(round, name).map(&figure)))
    }

    /// The median over the rounds of a figure of one peer against that of another in the same round.
    pub fn ratio(&self, name: &str, against: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(
            self.values
                .iter()
                .filter_map(|round| Some(figure(find(round, name)?) / figure(find(round, against)?))),
        )
    }

    /// The median over the rounds of how much more a figure of one peer is than that of another in the same round.
    pub fn difference(&self, name: &str, from: &str, figure: impl Fn(&Sample) -> f64) -> Option<f64> {
        median(
            self.values
                .iter()
                .filter_map(|round| Some(figure(find(round, name)?) - figure(find(round, from)?))),
        )
    }

    /// The medians of one peer, for the report.
    pub fn raw(&self, name: &str) -> String {
        let median = |figure: fn(&Sample) -> f64| self.median(name, figure).unwrap_or(f64::NAN);
        format!(
            "{name} {:.0}/s {:.1} µs p50 {:.2} p99 {:.2} ms",
            median(Sample::rate),
            median(Sample::cpu_each),
            median(|sample| sample.p50.as_secs_f64() * 1e3),
            median(Sample::p99_ms),
        )
    }

    /// Answers without a 2xx and broken connections of one peer, in all rounds.
    pub fn failures(&self, name: &str) -> u64 {
        let samples = self.values.iter().filter_map(|round| find(round, name));
        samples.map(|sample| sample.refused + sample.broken).sum()
    }
}

fn find<'a>(round: &'a [Sample], name: &str) -> Option<&'a Sample> {
    round.iter().find(|sample| sample.name == name)
}
