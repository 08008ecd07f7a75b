//! Load tests: the service at its limits, over real sockets, for as long as that takes. `cargo xtask load
//! [SCENARIO]` runs them on a release build; tests with hard bounds stand in `tests/it`.
//!
//! Each scenario tells its figures with what was wanted; one that misses it ends the run with status 1.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a load test ends at what it did not expect")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to whoever typed it")]
#![expect(clippy::disallowed_methods, reason = "no span is lost here, and another process can't be awaited")]

mod caller;
mod figures;
mod gateway;
mod scenarios;
#[path = "../it/support"]
#[expect(dead_code, reason = "the hermetic tests use the rest")]
mod support {
    pub mod fleet;
    pub mod gateway;
    pub mod instance;
    pub mod page;
    pub mod prelude;
    pub mod service;
}

use clap::{Parser, ValueEnum};
use figures::Figures;
use std::process::ExitCode;

/// Load tests against the limits; all of them where none is named.
#[derive(Parser)]
#[command(name = "cargo xtask load")]
struct Options {
    #[arg(value_enum)]
    scenarios: Vec<Scenario>,
    /// A twentieth of the load: to see that it works, not to judge.
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// The rate limit: a greedy client, an even one, a forger, and clients that wait as they are told.
    Rate,
    /// A message to a whole study, urgent reminders meanwhile, and SIGKILL in the middle of it.
    Blast,
    /// SMS beside a push gateway that takes 8 s, with all workers of its channel busy.
    Channels,
    /// A million clients: memory taken and given back.
    Clients,
    /// The second service before three instances: killed, hanging, slow, failing.
    Ctms,
    /// Ten thousand slow connections beside a fast client.
    Slow,
    /// Three times capacity: what is shed, and that reports do not notice.
    Overload,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut figures = Figures::default();
    for scenario in Scenario::value_variants() {
        if options.scenarios.is_empty() || options.scenarios.contains(scenario) {
            figures.begin(&format!("{scenario:?}").to_lowercase());
            let part = if options.quick { 20 } else { 1 };
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                match scenario {
                    Scenario::Rate => scenarios::rate::run(&mut figures, part).await,
                    Scenario::Blast => scenarios::blast::run(&mut figures, part).await,
                    Scenario::Channels => scenarios::channels::run(&mut figures, part).await,
                    Scenario::Clients => scenarios::clients::run(&mut figures, part).await,
                    Scenario::Ctms => scenarios::ctms::run(&mut figures, part),
                    Scenario::Slow => scenarios::slow::run(&mut figures, part).await,
                    Scenario::Overload => scenarios::overload::run(&mut figures, part).await,
                }
            });
        }
    }
    if figures.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
