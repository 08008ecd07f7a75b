//! Developer commands, run as `cargo xtask COMMAND`. What each does stands in its own file.
//!
//! Few dependencies, so that the first run builds in seconds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to whoever typed it")]

mod account;
mod dashboards;
mod go;
mod install;
#[expect(dead_code, reason = "kinds of stages that you add, as tests with a program of others")]
mod stage;
mod test;
#[expect(dead_code, reason = "tools of stages that you add")]
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test [--install]  format, lints, supply chain, every test and the documentation, with seconds per stage.
                    --install (or CI=true) fetches what is missing; without it the stage is skipped and named.
                    Under CI=true a part that can't be had fails.
  dashboards [normalise FILE…]
                    checks dashboards, rules and runbooks; or brings exports from Grafana into their checked-in form.";

/// Exit code for a wrong command line, as in sysexits.h.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(false),
        ["test", "--install"] => test::run(true),
        ["dashboards", rest @ ..] => dashboards::run(rest),
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
