//! The command line and the exit codes: 0 clean, 64 bad configuration or usage, 70 anything else.
//!
//! Logging is not up yet when the configuration is read, so its faults are plain lines on stderr.

use clap::{Parser, Subcommand};
use epro_notify::{
    app,
    config::Config,
    platform::{admin::probe, config::Sources},
};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: u8 = 64;
const FAILURE: u8 = 70;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    /// Read settings from this TOML file, below the environment
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, as http.listen=127.0.0.1:8080, above all else (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Print the complete commented configuration with its effective values, and exit
    #[arg(long)]
    print_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service (the default)
    Serve,
    /// Validate the configuration, and exit
    CheckConfig,
    /// Ask the service's admin listener on this machine whether it is ready
    Healthcheck,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) if !help.use_stderr() => return print(&help.render().to_string()),
        Err(error) => {
            let text = error.render().to_string();
            return refuse(&format!("{}; see --help", text.lines().next().unwrap_or_default()));
        }
    };
    let sources =
        Sources { file: cli.config, environment: std::env::vars_os().collect(), command_line: cli.set };
    let (config, document) = match Config::load(sources) {
        Ok(loaded) => loaded,
        Err(faults) => return refuse(&faults.to_string()),
    };
    match cli.command.unwrap_or(Command::Serve) {
        _ if cli.print_config => print(&document),
        Command::Serve => app::run(config),
        Command::CheckConfig => print("the configuration is valid\n"),
        Command::Healthcheck => healthcheck(&config),
    }
}

fn healthcheck(config: &Config) -> ExitCode {
    match probe::ready(config.admin.listen) {
        Ok(answer) if answer.ready => print(&format!("{}\n", answer.body)),
        Ok(answer) => {
            print(&format!("{}\n", answer.body));
            ExitCode::from(FAILURE)
        }
        Err(error) => {
            report(&format!("{}: {error}", config.admin.listen));
            ExitCode::from(FAILURE)
        }
    }
}

fn refuse(faults: &str) -> ExitCode {
    report(faults);
    ExitCode::from(USAGE)
}

/// Writes to stderr; nobody is left to tell if that fails.
fn report(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes to stdout; a reader that left is no panic.
fn print(text: &str) -> ExitCode {
    let written = io::stdout().write_all(text.as_bytes());
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) }
}
