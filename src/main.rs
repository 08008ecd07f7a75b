//! The command line and the exit codes: 0 clean, 64 bad configuration or usage, 70 anything else.
//!
//! Logging is not up yet when the configuration is read, so its faults are plain lines on stderr.

use clap::{Parser, Subcommand};
use epro_notify::{
    app,
    config::Config,
    platform::{
        admin::{AdminConfig, probe},
        auth::{self, KeyName, Scopes},
        config::Sources,
    },
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
/// What every key begins with, so that scanners find one that leaked.
const KEY_PREFIX: &str = concat!(env!("CARGO_PKG_NAME"), "_");

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
    /// Print the API's OpenAPI document
    Openapi,
    /// Make an API key: prints the key, which is told this once, and then its line for the key file
    NewKey {
        /// What logs and metrics call its holder: letters, digits, '.', '_', '-'
        name: KeyName,
        /// What it allows: some of send, read, operate, joined by commas
        #[arg(long)]
        scopes: Scopes,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help) if !help.use_stderr() => return say(io::stdout(), &help.to_string(), 0),
        Err(error) => {
            let text = error.to_string();
            return say(
                io::stderr(),
                &format!("{}; see --help", text.lines().next().unwrap_or_default()),
                USAGE,
            );
        }
    };
    let sources =
        Sources { file: cli.config, environment: std::env::vars_os().collect(), command_line: cli.set };
    let command = cli.command.unwrap_or(Command::Serve);
    let told = match command {
        Command::NewKey { name, scopes } => return new_key(name, scopes),
        // The API is the same under every configuration, so none is read.
        Command::Openapi => return openapi(),
        Command::Healthcheck if !cli.print_config => Config::load_admin(sources).map(healthcheck),
        _ => Config::load(sources).map(|(config, document)| match command {
            _ if cli.print_config => say(io::stdout(), &document, 0),
            Command::CheckConfig => say(io::stdout(), "the configuration is valid", 0),
            _ => app::run(config),
        }),
    };
    told.unwrap_or_else(|faults| say(io::stderr(), &faults.to_string(), USAGE))
}

fn healthcheck(admin: AdminConfig) -> ExitCode {
    match probe::ready(&admin) {
        Ok(answer) => say(io::stdout(), &answer.body, if answer.ready { 0 } else { FAILURE }),
        Err(error) => say(io::stderr(), &format!("{}: {error}", admin.listen), FAILURE),
    }
}

/// Needs no configuration: a broken one may be why a key is wanted.
fn new_key(name: KeyName, scopes: Scopes) -> ExitCode {
    match auth::new_key(KEY_PREFIX, name, scopes) {
        Ok((text, key)) => say(io::stdout(), &format!("{text}\n{}", key.line()), 0),
        Err(error) => say(io::stderr(), &error.to_string(), FAILURE),
    }
}

fn openapi() -> ExitCode {
    match app::document().to_json() {
        Ok(document) => say(io::stdout(), &document, 0),
        Err(error) => say(io::stderr(), &error.to_string(), FAILURE),
    }
}

/// Ends with this text and code; a reader that left is no panic.
fn say(mut stream: impl Write, text: &str, code: u8) -> ExitCode {
    let written = writeln!(stream, "{}", text.trim_end());
    ExitCode::from(if written.is_ok() || code != 0 { code } else { FAILURE })
}
