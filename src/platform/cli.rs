//! The command line that all programs have, and the exit codes: 0 clean, 64 bad configuration or usage, 70
//! anything else. What a program is and runs is its own matter.
//!
//! Logging is not up yet when the configuration is read, so its faults are plain lines on stderr.

use crate::platform::{
    admin::{AdminConfig, probe},
    auth::{self, KeyName, Scopes},
    config::{Faults, Sources},
    http::openapi::Document,
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

const USAGE: u8 = 64;
const FAILURE: u8 = 70;

/// What one program has that another has not. `C` is its configuration.
pub struct Program<C> {
    pub name: &'static str,
    pub version: &'static str,
    /// In a line, for `--help`.
    pub about: &'static str,
    /// What every key begins with, so that scanners find one that leaked.
    pub key_prefix: &'static str,
    /// Reads the whole configuration, and gives it as a commented document as well.
    pub load: fn(Sources) -> Result<(C, String), Faults>,
    /// Reads where the service is asked how it is, and nothing else.
    pub load_admin: fn(Sources) -> Result<AdminConfig, Faults>,
    /// Describes the API: it is the same under every configuration.
    pub document: fn() -> Document,
    /// Runs the service until it is told to stop.
    pub run: fn(C) -> ExitCode,
}

#[derive(Parser)]
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

impl<C> Program<C> {
    /// Does what the process's arguments say.
    pub fn main(&self) -> ExitCode {
        let cli = match self.parse() {
            Ok(cli) => cli,
            Err(help) if !help.use_stderr() => return say(io::stdout(), &help.to_string(), 0),
            Err(error) => {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                return say(io::stderr(), &format!("{line}; see --help"), USAGE);
            }
        };
        let sources =
            Sources { file: cli.config, environment: std::env::vars_os().collect(), command_line: cli.set };
        let command = cli.command.unwrap_or(Command::Serve);
        let told = match command {
            Command::NewKey { name, scopes } => return self.new_key(name, scopes),
            Command::Openapi => return self.openapi(),
            Command::Healthcheck if !cli.print_config => (self.load_admin)(sources).map(healthcheck),
            _ => (self.load)(sources).map(|(config, document)| match command {
                _ if cli.print_config => say(io::stdout(), &document, 0),
                Command::CheckConfig => say(io::stdout(), "the configuration is valid", 0),
                _ => (self.run)(config),
            }),
        };
        told.unwrap_or_else(|faults| say(io::stderr(), &faults.to_string(), USAGE))
    }

    fn parse(&self) -> Result<Cli, clap::Error> {
        let command = Cli::command().name(self.name).version(self.version).about(self.about);
        Cli::from_arg_matches(&command.try_get_matches()?)
    }

    /// Needs no configuration: a broken one may be why a key is wanted.
    fn new_key(&self, name: KeyName, scopes: Scopes) -> ExitCode {
        match auth::new_key(self.key_prefix, name, scopes) {
            Ok((text, key)) => say(io::stdout(), &format!("{text}\n{}", key.line()), 0),
            Err(error) => say(io::stderr(), &error.to_string(), FAILURE),
        }
    }

    fn openapi(&self) -> ExitCode {
        match (self.document)().to_json() {
            Ok(document) => say(io::stdout(), &document, 0),
            Err(error) => say(io::stderr(), &error.to_string(), FAILURE),
        }
    }
}

fn healthcheck(admin: AdminConfig) -> ExitCode {
    match probe::ready(&admin) {
        Ok(answer) => say(io::stdout(), &answer.body, if answer.ready { 0 } else { FAILURE }),
        Err(error) => say(io::stderr(), &format!("{}: {error}", admin.listen), FAILURE),
    }
}

/// Ends with this text and code; a reader that left is no panic.
fn say(mut stream: impl Write, text: &str, code: u8) -> ExitCode {
    let written = writeln!(stream, "{}", text.trim_end());
    ExitCode::from(if written.is_ok() || code != 0 { code } else { FAILURE })
}
