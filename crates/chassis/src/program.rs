//! The command line that every program has.
//!
//! Faults of usage and configuration are plain lines on stderr: nothing is logged before the configuration is known.

use crate::config::{Settings, Sources, load, load_section};
use crate::run::{FAILURE, Failure, USAGE};
use crate::{AdminConfig, probe};
use chassis_http::{KeyName, Scopes, auth};
use clap::{ArgMatches, Args, Command, FromArgMatches as _, Subcommand, error::ErrorKind};
use std::io::{self, Write};
use std::{path::PathBuf, process::ExitCode};

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

// The commands of every program. A doc comment would stand in place of the program's own description.
#[derive(Subcommand)]
enum Common {
    /// Run the service (the default)
    Serve,
    /// Validate the configuration and exit
    CheckConfig,
    /// Ask the running service's admin listener whether it is ready
    Healthcheck,
    /// Print the OpenAPI document
    Openapi,
    /// Print a new API key, which is shown only once, and its line for the key file
    NewKey {
        /// What logs and metrics call its holder: letters, digits, '.', '_', '-'
        name: KeyName,
        /// What it allows: some of send, read, operate, joined by commas
        #[arg(long)]
        scopes: Scopes,
    },
}

impl<C: Settings> Program<C> {
    /// Does what the process's arguments say: exit code 0, 64 for bad usage or configuration, 70 for other failures.
    pub fn main(self) -> ExitCode {
        self.execute().unwrap_or_else(|error| match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => print(io::stdout(), &error.to_string(), 0),
            _ => {
                let text = error.to_string();
                let lines: Vec<_> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
                print(io::stderr(), &format!("{}; see --help", lines.join(" ")), USAGE)
            }
        })
    }

    fn execute(self) -> Result<ExitCode, clap::Error> {
        let command = Options::augment_args(Command::new(self.name).about(self.about).version(self.version));
        let own = self.commands.iter().map(|command| command.command.clone());
        let matches = Common::augment_subcommands(command).subcommands(own).try_get_matches()?;
        let Options { config: file, set } = Options::from_arg_matches(&matches)?;
        let sources = Sources { file, environment: std::env::vars_os().collect(), set };
        let common = Common::from_arg_matches(&matches).ok();
        // What needs no configuration works with a broken one.
        Ok(match common {
            Some(Common::NewKey { name, scopes }) => self.new_key(name, scopes),
            Some(Common::Openapi) => print(io::stdout(), &(self.openapi)(), 0),
            Some(Common::Healthcheck) => self.healthcheck(sources),
            Some(Common::CheckConfig | Common::Serve) | None => match (load::<C>(sources), common) {
                (Err(faults), _) => print(io::stderr(), &faults.to_string(), USAGE),
                (Ok(config), Some(Common::CheckConfig)) => check_config(&config),
                (Ok(config), _) => self.run(config, matches.subcommand()),
            },
        })
    }

    /// Runs the service, or a command of the program's own.
    fn run(&self, config: C, command: Option<(&str, &ArgMatches)>) -> ExitCode {
        let named = |name| self.commands.iter().find(|command| command.command.get_name() == name);
        match command.and_then(|(name, arguments)| Some((named(name)?, arguments))) {
            Some((own, arguments)) => match (own.run)(config, arguments) {
                Ok(text) => print(io::stdout(), &text, 0),
                Err(failure) => print(io::stderr(), &failure.to_string(), FAILURE),
            },
            None => (self.serve)(config),
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

    fn new_key(&self, name: KeyName, scopes: Scopes) -> ExitCode {
        let (text, key) = auth::new_key(self.key_prefix, name, scopes);
        print(io::stdout(), &format!("{text}\n{}", key.line()), 0)
    }
}

fn check_config(config: &impl Settings) -> ExitCode {
    let warnings: String = config.warnings().iter().map(|warning| format!("warning: {warning}\n")).collect();
    print(io::stdout(), &(warnings + "the configuration is valid"), 0)
}

/// Writes a text and returns the exit code; a reader that has gone is no panic.
fn print(mut stream: impl Write, text: &str, code: u8) -> ExitCode {
    let written = writeln!(stream, "{}", text.trim_end());
    ExitCode::from(if written.is_ok() || code != 0 { code } else { FAILURE })
}
