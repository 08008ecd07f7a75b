//! `cargo bench`: ratios of the service against the limits of this machine, all from one run.
//!
//! This file is the way through a run; what is measured stands in `scenarios`, the load generator in `load`.
//! See `cargo bench --bench ratios -- --help`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command for a terminal: the report and its progress"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the bench blocks its one thread on purpose, and has no spans to lose"
)]

mod account;
mod bench;
mod calls;
mod ceiling;
mod child;
mod histogram;
mod http;
mod layered;
mod load;
mod machine;
mod options;
mod otlp;
mod reference;
mod repeat;
mod report;
mod rounds;
mod scenarios;
mod servers;
mod service;
mod usual;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use mimalloc::MiMalloc;

use crate::bench::{Bench, target};
use crate::options::{Options, Scenario};
use crate::report::Report;

/// As in the service, for the bare handler's sake.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.split_first() {
        Some((&child::COMMAND, arguments)) => run_child(arguments),
        _ => run(Options::parse()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn run_child(arguments: &[&str]) -> Result<ExitCode> {
    match child::program(arguments) {
        Some(program) => child::become_program(program)?,
        None => servers::run(arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run(options: Options) -> Result<ExitCode> {
    let bench = Bench::new(options)?;
    let mut report = Report::default();
    for scenario in Scenario::value_variants() {
        if bench.options.wants(*scenario) {
            scenarios::run(&bench, *scenario, &mut report);
        }
    }
    let file = target().join("ratios.json");
    report.write(&file)?;
    println!("{}\nAlso in {}", report.table(), file.display());
    let failed = bench.options.check && !report.holds();
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
