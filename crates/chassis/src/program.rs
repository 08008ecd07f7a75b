//! The command line that every program has.
//!
//! Faults of usage and configuration are plain lines on stderr: nothing is logged before the configuration is known.

use crate::{
    AdminConfig,
    config::{Settings, Sources, load, load_section},
    probe,
    run::{FAILURE, Failure, USAGE},
};
use chassis_http::{KeyName, Scopes, auth};
use clap::{ArgMatches, Args, Command, FromArgMatches as _, error::ErrorKind};
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

/// A program: what its command line is called, and what its commands do. `C` is its configuration.
pub struct Program<C> {
    pub name: &'static str,
    pub version: &'static str,
    /// One line for `--help`.
    pub about: &'static str,
    /// What every API key begins with, so that scanners recognise one that leaked.
    pub key_prefix: &'static str,
    /// Where the admin listener is.
    pub admin: fn(&C) -> AdminConfig,
    /// The OpenAPI document, which is the same under every configuration.
    pub openapi: fn() -> String,
    /// Runs the service until it stops.
    pub serve: fn(C) -> ExitCode,
    /// Further commands.
    pub commands: Vec<ProgramCommand<C>>,
}

/// A command of one program.
pub struct ProgramCommand<C> {
    pub command: Command,
    /// Gives what is printed.
    pub run: fn(C, &ArgMatches) -> Result<String, Failure>,
}

#[derive(Args)]
struct Options {
    /// Read settings from this TOML file, below the environment
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key, as http.listen=127.0.0.1:8080, above all else (repeatable)
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Args)]
struct NewKey {
    /// What logs and metrics call its holder: letters, digits, '.', '_', '-'
    name: KeyName,
    /// What it allows: some of send, read, operate, joined by commas
    #[arg(long)]
    scopes: Scopes,
}

impl<C: Settings> Program<C> {
    /// Does what the process's arguments say: exit code 0, 64 for bad usage or configuration, 70 for other failures.
    pub fn main(self) -> ExitCode {
        self.execute().unwrap_or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => print(io::stdout(), &error.to_string(), 0),
            _ => {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                print(io::stderr(), &format!("{line}; see --help"), USAGE)
            }
        })
    }

    fn execute(self) -> Result<ExitCode, clap::Error> {
        let matches = self.command_line().try_get_matches()?;
        let Options { config: file, set } = Options::from_arg_matches(&matches)?;
        let sources = Sources { file, environment: std::env::vars_os().collect(), set };
        Ok(match matches.subcommand() {
            // What needs no configuration works with a broken one.
            Some(("new-key", arguments)) => self.new_key(NewKey::from_arg_matches(arguments)?),
            Some(("openapi", _)) => print(io::stdout(), &(self.openapi)(), 0),
            Some(("healthcheck", _)) => self.healthcheck(sources),
            command => match load::<C>(sources) {
                Ok(config) => self.command(command, config),
                Err(faults) => print(io::stderr(), &faults.to_string(), USAGE),
            },
        })
    }

    fn command_line(&self) -> Command {
        let command = |name, about| Command::new(name).about(about);
        Options::augment_args(command(self.name, self.about).version(self.version))
            .subcommand(command("serve", "Run the service (the default)"))
            .subcommand(command("check-config", "Validate the configuration and exit"))
            .subcommand(command(
                "healthcheck",
                "Ask the running service's admin listener whether it is ready",
            ))
            .subcommand(command("openapi", "Print the OpenAPI document"))
            .subcommand(NewKey::augment_args(command(
                "new-key",
                "Print a new API key, which is shown only once, and its line for the key file",
            )))
            .subcommands(self.commands.iter().map(|command| command.command.clone()))
    }

    fn command(&self, command: Option<(&str, &ArgMatches)>, config: C) -> ExitCode {
        match command {
            None | Some(("serve", _)) => (self.serve)(config),
            Some(("check-config", _)) => {
                let warnings = config.warnings().into_iter().map(|warning| format!("warning: {warning}\n"));
                print(io::stdout(), &format!("{}the configuration is valid", warnings.collect::<String>()), 0)
            }
            Some((name, arguments)) => {
                let command = self.commands.iter().find(|command| command.command.get_name() == name);
                match command.map(|command| (command.run)(config, arguments)) {
                    Some(Ok(text)) => print(io::stdout(), &text, 0),
                    Some(Err(failure)) => print(io::stderr(), &failure.to_string(), FAILURE),
                    None => ExitCode::from(USAGE),
                }
            }
        }
    }

    fn healthcheck(&self, sources: Sources) -> ExitCode {
        let admin = match load_section::<C>(sources, "admin") {
            Ok(config) => (self.admin)(&config),
            Err(faults) => return print(io::stderr(), &faults.to_string(), USAGE),
        };
        match probe::readyz(&admin) {
            Ok((ready, answer)) => print(io::stdout(), &answer, if ready { 0 } else { FAILURE }),
            Err(error) => print(io::stderr(), &format!("{}: {error}", admin.listen), FAILURE),
        }
    }

    fn new_key(&self, NewKey { name, scopes }: NewKey) -> ExitCode {
        match auth::new_key(self.key_prefix, name, scopes) {
            Ok((text, key)) => print(io::stdout(), &format!("{text}\n{}", key.line()), 0),
            Err(error) => print(io::stderr(), &error.to_string(), FAILURE),
        }
    }
}

/// Writes a text and returns the exit code; a reader that has gone is no panic.
fn print(mut stream: impl Write, text: &str, code: u8) -> ExitCode {
    let written = writeln!(stream, "{}", text.trim_end());
    ExitCode::from(if written.is_ok() || code != 0 { code } else { FAILURE })
}
