//! Judges the files that people edit: dashboards, rules, alerts and their runbooks, and what deploys the services. Nothing is
//! started here; `tests/peers` has the programs that read these files judge them, and runs every query on live services.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test ends at what it did not expect"
)]

mod alerts;
mod dashboards;
mod deploy;
mod promql;
mod query;
mod read;
mod reference;
mod services;

use std::path::PathBuf;

/// Where the repository is: Cargo runs a test there.
fn root() -> PathBuf {
    std::env::current_dir().unwrap()
}

/// Fails with all that is wrong.
#[track_caller]
fn nothing(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
