//! The bench's command line.

use std::time::Duration;

use clap::{Parser, ValueEnum};

/// Ratios of the service against the limits of this machine, all from one run.
///
/// Absolute figures drift with the machine, so everything is measured in alternating rounds against a bare
/// axum handler and the usual telemetry (and, where Go is installed, a gin service with its own), and the median
/// of the rounds' ratios is printed. A round beside foreign load is thrown away and repeated. Run it on a
/// machine that does nothing else; the whole takes some ten minutes, most of it with a million queued jobs.
#[derive(Clone, Parser)]
#[command(name = "cargo bench --bench ratios --")]
pub struct Options {
    /// What to measure; everything where none is named.
    #[arg(value_enum)]
    pub scenarios: Vec<Scenario>,
    /// Three short rounds and a twentieth of the jobs: to see that it works, not to judge.
    #[arg(long)]
    pub quick: bool,
    /// End with status 1 when a minimum is missed or could not be measured.
    #[arg(long)]
    pub check: bool,
    /// Keep rounds beside foreign load; their rows are marked and not judged.
    #[arg(long)]
    pub keep_disturbed: bool,
    /// Rounds of a comparison [default: 5, quick: 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Seconds that each peer is measured in a round [default: 3, quick: 1].
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: Option<u64>,
    /// Jobs of the full store [default: 1000000, quick: 50000].
    #[arg(long, value_parser = clap::value_parser!(u64).range(10_000..=5_000_000))]
    jobs: Option<u64>,
    /// Keep-alive connections of the load.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub connections: u16,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Accept, durable and with full telemetry, delivery held back; telemetry off; the usual stack; the Go reference.
    Accept,
    /// What each layer adds to the accept call.
    Layers,
    /// A read over gRPC on the service as it is, against a bare handler.
    Grpc,
    /// The same load delivered at once over HTTP while it is accepted.
    Deliver,
    /// How fast a backlog is delivered, in process and over HTTP.
    Drain,
    /// A million queued jobs: accept, drain, memory, restart.
    Million,
    /// Start to the first answer, and memory when idle.
    Start,
}

impl Options {
    pub fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }

    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }

    /// How long one peer is measured in one round.
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(if self.quick { 1 } else { 3 }))
    }

    /// Jobs in the full store.
    pub fn jobs(&self) -> u64 {
        self.jobs.unwrap_or(if self.quick { 50_000 } else { 1_000_000 })
    }

    /// Jobs in the store that a drain is measured on: a tenth, and few enough for several rounds.
    pub fn few_jobs(&self) -> u64 {
        self.jobs() / 10
    }
}
