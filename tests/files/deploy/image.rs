//! The Dockerfile, as far as it can be judged without building it: what it copies is there and is not
//! ignored, its compiler is the repository's, and nothing in it runs as root.

use super::{repository, text};
use std::path::Path;

const FILE: &str = "deploy/Dockerfile";
const IGNORED: &str = "deploy/Dockerfile.dockerignore";

fn quoted_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.split(key).nth(1)?.split('"').nth(1)
}

#[test]
fn its_compiler_is_the_repository_s() {
    let toolchain = text("rust-toolchain.toml");
    let version = quoted_after(&toolchain, "channel").unwrap();
    let file = text(FILE);
    assert!(file.contains(&format!("FROM rust:{version}-")), "another image than {version}");
    assert!(file.contains(&format!("RUSTUP_TOOLCHAIN={version}\n")), "another tool chain than {version}");
}

#[test]
fn every_stage_that_runs_is_not_root_labelled_and_asked_for_its_health() {
    let file = text(FILE);
    let base = file.split("\nFROM scratch AS base\n").nth(1).unwrap();
    assert!(base.split("\nFROM ").next().unwrap().contains("\nUSER 10001:10001\n"));
    for target in ["epro-notify", "ctms"] {
        let stage = file.split(&format!("\nFROM base AS {target}\n")).nth(1).unwrap();
        let stage = stage.split("\nFROM ").next().unwrap();
        let health = format!("CMD [\"/usr/local/bin/{target}\", \"healthcheck\"]");
        assert!(stage.contains(&health) && stage.contains("org.opencontainers.image.title"), "{target}");
    }
    assert_eq!(file.matches("\nUSER ").count(), 1);
}

/// Whether a path from the repository's root reaches the build: the list names what does.
fn reaches(path: &str) -> bool {
    let list = text(IGNORED);
    list.lines().filter_map(|line| line.strip_prefix('!')).any(|kept| Path::new(path).starts_with(kept))
}

#[test]
fn what_the_build_reads_reaches_it() {
    for path in text(IGNORED).lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(repository(path).exists(), "{path} is not there");
    }
    for package in
        ["Cargo.toml", "Cargo.lock", "build.rs", "src/main.rs", "xtask/Cargo.toml", "fuzz/Cargo.toml"]
    {
        assert!(reaches(package), "{package} is ignored");
    }
    assert!(!reaches("README.md") && !reaches("docs/operations.md"), "a page builds the image anew");
}
