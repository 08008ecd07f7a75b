//! `starter-service backup FILE`: copies the store of a running service.

use crate::config::Config;
use chassis::{Failure, ProgramCommand};
use chassis_queue::Store;
use clap::{Arg, ArgMatches, Command, value_parser};
use std::path::PathBuf;

const FILE: &str = "FILE";

/// The command, for `main`.
pub fn command() -> ProgramCommand<Config> {
    let file = Arg::new(FILE).required(true).value_parser(value_parser!(PathBuf));
    let command = Command::new("backup").about("Copy the SQLite store, in use or not, into a new file");
    ProgramCommand { command: command.arg(file.help("Where the copy goes; must not exist yet")), run }
}

fn run(config: Config, arguments: &ArgMatches) -> Result<String, Failure> {
    let file = arguments.get_one::<PathBuf>(FILE).ok_or("FILE is missing")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(Store::backup(&config.store, file))?;
    Ok(format!("{} is a copy of the store", file.display()))
}
