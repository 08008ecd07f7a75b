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
    let manifest = text("Cargo.toml");
    let base = file.split("\nFROM scratch AS base\n").nth(1).unwrap();
    assert!(base.split("\nFROM ").next().unwrap().contains("\nUSER 10001:10001\n"));
    let stages: Vec<_> = file.split("\nFROM base AS ").skip(1).collect();
    assert!(!stages.is_empty());
    for stage in stages {
        let (target, stage) = stage.split("\nFROM ").next().unwrap().split_once('\n').unwrap();
        assert!(stage.contains("org.opencontainers.image.title"), "{target}");
        // What is no service of ours is for development only.
        let health = format!("CMD [\"/usr/local/bin/{target}\", \"healthcheck\"]");
        let is_ours = manifest.contains(&format!("name = \"{target}\""));
        assert!(!is_ours || stage.contains(&health), "{target}");
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
    let manifest = text("Cargo.toml");
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    let members = members.split('"').skip(1).step_by(2).map(|member| member.trim_end_matches("/*"));
    for path in ["Cargo.toml", "Cargo.lock", "build.rs", "src/main.rs"].into_iter().chain(members) {
        assert!(reaches(path), "{path} is ignored");
    }
    assert!(!reaches("README.md") && !reaches("docs/operations.md"), "a page builds the image anew");
}
