//! The composition root: the only file that knows both halves.

use crate::config::Config;
use std::process::ExitCode;

/// Runs the service until it is told to stop: 0 after a clean stop, 70 otherwise.
pub fn run(_config: Config) -> ExitCode {
    todo!()
}
