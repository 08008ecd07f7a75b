//! Developer commands, run as `cargo xtask COMMAND`. What each does stands in its own file.
//!
//! Nothing but the standard library, so that the first run builds in seconds.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to whoever typed it")]

mod account;
mod install;
mod stage;
mod test;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  test [--install]  format, lints, supply chain, every test and the documentation, with seconds per stage.
                    --install (or CI=true) fetches what is missing; without it the stage is skipped and named.
                    Under CI=true a part that can't be had fails.";

/// Exit code for a wrong command line, as in sysexits.h.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::run(false),
        ["test", "--install"] => test::run(true),
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
