//! The command line that every program has.
//!
//! Faults of usage and configuration are plain lines on stderr: nothing is logged before the configuration is known.

use crate::{
    AdminConfig,
    config::{Settings, Sources, load, load_section},
    probe,
    run::{FAILURE, USAGE},
};
use chassis_http::{KeyName, Scopes, auth};
use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind, value_parser};
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
    pub run: fn(C, &ArgMatches) -> ExitCode,
}

impl<C: Settings> Program<C> {
    /// Does what the process's arguments say: exit code 0, 64 for bad usage or configuration, 70 for other failures.
    pub fn main(self) -> ExitCode {
        let matches = match self.command_line().try_get_matches() {
            Ok(matches) => matches,
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                return print(io::stdout(), &error.to_string(), 0);
            }
            Err(error) => {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                return print(io::stderr(), &format!("{line}; see --help"), USAGE);
            }
        };
        let sources = Sources {
            file: matches.get_one("config").cloned(),
            environment: std::env::vars_os().collect(),
            set: matches.get_many("set").unwrap_or_default().cloned().collect(),
        };
        // What needs no configuration works with a broken one.
        match matches.subcommand() {
            Some(("new-key", arguments)) => return self.new_key(arguments),
            Some(("openapi", _)) => return print(io::stdout(), &(self.openapi)(), 0),
            Some(("healthcheck", _)) => return self.healthcheck(sources),
            _ => {}
        }
        let config = match load::<C>(sources) {
            Ok(config) => config,
            Err(faults) => return print(io::stderr(), &faults.to_string(), USAGE),
        };
        match matches.subcommand() {
            None | Some(("serve", _)) => (self.serve)(config),
            Some(("check-config", _)) => print(io::stdout(), "the configuration is valid", 0),
            Some((name, arguments)) => {
                let command = self.commands.iter().find(|command| command.command.get_name() == name);
                command.map_or(ExitCode::from(USAGE), |command| (command.run)(config, arguments))
            }
        }
    }

    fn command_line(&self) -> Command {
        let config =
            Arg::new("config").long("config").value_name("FILE").value_parser(value_parser!(PathBuf));
        let set = Arg::new("set").long("set").value_name("KEY=VALUE").action(ArgAction::Append);
        let name = Arg::new("name").value_name("NAME").required(true).value_parser(value_parser!(KeyName));
        let scopes = Arg::new("scopes").long("scopes").required(true).value_parser(value_parser!(Scopes));
        Command::new(self.name)
            .version(self.version)
            .about(self.about)
            .arg(config.global(true).help("Read settings from this TOML file, below the environment"))
            .arg(
                set.global(true)
                    .help("Set one key, as http.listen=127.0.0.1:8080, above all else (repeatable)"),
            )
            .subcommand(Command::new("serve").about("Run the service (the default)"))
            .subcommand(Command::new("check-config").about("Validate the configuration and exit"))
            .subcommand(
                Command::new("healthcheck")
                    .about("Ask the admin listener of the running service whether it is ready"),
            )
            .subcommand(Command::new("openapi").about("Print the OpenAPI document"))
            .subcommand(
                Command::new("new-key")
                    .about("Print a new API key, which is shown only once, and its line for the key file")
                    .arg(name.help("What logs and metrics call its holder: letters, digits, '.', '_', '-'"))
                    .arg(scopes.help("What it allows: some of send, read, operate, joined by commas")),
            )
            .subcommands(self.commands.iter().map(|command| command.command.clone()))
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

    fn new_key(&self, arguments: &ArgMatches) -> ExitCode {
        let (name, scopes) = (arguments.get_one::<KeyName>("name"), arguments.get_one::<Scopes>("scopes"));
        let (Some(name), Some(scopes)) = (name, scopes) else { return ExitCode::from(USAGE) };
        match auth::new_key(self.key_prefix, name.clone(), *scopes) {
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
