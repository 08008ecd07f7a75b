//! `cargo xtask test`: the stages in their order. How one runs is in `stage.rs`.

use crate::{
    account::Account,
    stage::{Policy, Stage},
    tools::{Tool, Tools},
};
use std::process::ExitCode;

/// Cheap ones first: a wrong format is known in a second, not after the tests.
const STAGES: &[Stage] = &[
    Stage::cargo("format", &["fmt", "--all", "--check"]),
    Stage::cargo(
        "lints",
        &[
            "clippy", "--workspace", "--all-targets", "--test", "promtool", "--test", "postgres",
            "--all-features", "--locked", "--", "-D", "warnings",
        ],
    ),
    Stage::with(
        "supply chain (bans, licences, sources; advisories need a database from the network: not run)",
        &[Tool::CargoDeny],
        &["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"],
    ),
    Stage::with("unused dependencies", &[Tool::CargoMachete], &[]),
    Stage::cargo("tests, hermetic", &["test", "--workspace", "--all-features", "--locked", "--no-fail-fast"]),
    Stage::target("rules with promtool and amtool", &[Tool::Promtool, Tool::Amtool], "promtool"),
    Stage::cargo(
        "documentation",
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--all-features", "--locked"],
    )
    .with_env("RUSTDOCFLAGS", "-D warnings"),
];

/// Runs every stage, also after one failed, and ends with the line `N passed, N failed`.
///
/// A test counts as one, and so does a stage that is not made of tests.
pub fn run(install: bool) -> ExitCode {
    let strict = std::env::var("CI").is_ok_and(|value| value == "true");
    let policy = Policy { install: install || strict, strict };
    let tools = Tools::new();
    let mut account = Account::default();
    for stage in STAGES {
        println!("\n== {}", stage.name());
        account.time(stage.name(), || stage.run(&tools, policy));
    }
    account.print();
    if account.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
