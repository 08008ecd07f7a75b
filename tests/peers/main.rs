//! Tests that need a program of somebody else's, a right that not everybody has, or minutes: apart from
//! `cargo test`, which is hermetic.
//!
//! `cargo xtask test` runs each module when what it needs is there; by hand it is
//! `cargo test --all-features --test peers -- system_calls::`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]
#![expect(clippy::disallowed_methods, reason = "no span is lost here, and another process can't be awaited")]

mod deploy;
mod disk_full;
mod endpoints;
mod grafana_schema;
mod image;
mod kills;
mod kubernetes;
mod live;
mod metrics_page;
mod preview;
mod program;
#[path = "../files/promql.rs"]
#[expect(dead_code, reason = "the hermetic tests of the files use the rest")]
mod promql;
#[path = "../files/read.rs"]
#[expect(dead_code, reason = "the hermetic tests of the files use the rest")]
mod read;
mod replicas;
mod schemathesis;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "the hermetic tests use the rest")]
mod support;
mod system_calls;

use std::path::PathBuf;

/// Fails with what to do about it when a program is not there.
fn need(program: &str) {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(program).is_file());
    assert!(found, "{program} is not on the PATH: `cargo xtask test --install` fetches it");
}

/// Where the repository is: Cargo runs a test there.
fn root() -> PathBuf {
    std::env::current_dir().unwrap()
}
