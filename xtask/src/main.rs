//! Developer commands, run as `cargo xtask COMMAND`. What each does stands in its own file.
//!
//! Few dependencies, so that the first run builds in seconds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to whoever typed it")]

mod account;
mod dashboards;
mod fork;
mod fuzz;
mod go;
mod install;
mod stage;
mod test;
mod tools;

use std::process::{Command, ExitCode};
use tools::{Tool, Tools};

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test [--install]  format, lints, supply chain, every test and the documentation, with seconds per stage.
                    --install (or CI=true) fetches what is missing; without it the stage is skipped and named.
                    Under CI=true a part that can't be had fails.
  check-forks [complete|stripped]
                    makes both kinds of forks, and builds, tests, starts and calls them; `test` does it as well.
  fork NAME DIR [--strip]
                    a copy of this repository under a new name; --strip leaves out the sample, and puts one example
                    endpoint and one example job in its place.
  fuzz [TARGET] [--seconds N]
                    libFuzzer on one target of fuzz/targets, or on each, one a core; 60 seconds a target unless said
                    otherwise. What breaks one is kept in the target directory, in fuzz/found.
  load [SCENARIO…] [--quick] [--report FOLDER]
                    load tests against the limits with k6, on a release build and a machine that does nothing else.
                    A report with plots is written. `load --help` names the scenarios.
  dashboards [normalise FILE…]
                    checks dashboards, rules and runbooks; or brings exports from Grafana into their checked-in form.
  pictures          the README's pictures, out of a run of everything: fetches what is missing, takes minutes.";

/// Exit code for a wrong command line, as in sysexits.h.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(false),
        ["test", "--install"] => test::run(true),
        ["check-forks", kind @ ..] => fork::check(kind),
        ["fork", rest @ ..] => fork::run(rest),
        ["load", rest @ ..] => load(rest),
        ["dashboards", rest @ ..] => dashboards::run(rest),
        ["pictures"] => test::pictures(),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(EX_USAGE)
        }
    }
}

/// The load tests are a program of their own, so that the service they start is the one just built.
fn load(arguments: &[&str]) -> ExitCode {
    let tools = Tools::new();
    if let Err(why) = tools.provide(Tool::K6, true) {
        eprintln!("{why}");
        return ExitCode::FAILURE;
    }
    let cargo = |words: &[&str], arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .current_dir(tools.workspace())
            .args(words)
            .args(["--release", "--all-features", "--quiet"])
            .args(arguments)
            .env("PATH", tools.path())
            .status()
    };
    let built = cargo(&["build", "--example", "sms_gateway"], &[]);
    let status = match built {
        Ok(built) if built.success() => cargo(&["test", "--test", "load"], &[&["--"], arguments].concat()),
        failed => failed,
    };
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo can't be started: {error}");
            ExitCode::FAILURE
        }
    }
}
