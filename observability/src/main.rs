//! `cargo run -p observability` writes the generated files; with `--check` it names those that are stale.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command speaks to whoever typed it")]

use observability::files;
use std::process::ExitCode;

/// Exit code for a wrong command line, as in sysexits.h.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => files::write(),
        ["--check"] => files::stale().map_err(|error| error.to_string()).and_then(|stale| match stale[..] {
            [] => Ok(()),
            _ => Err(format!("stale, `cargo run -p observability` writes them: {}", stale.join(", "))),
        }),
        _ => {
            eprintln!("usage: cargo run -p observability [-- --check]");
            return ExitCode::from(EX_USAGE);
        }
    };
    match done {
        Ok(()) => {
            println!("the generated files are up to date");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
