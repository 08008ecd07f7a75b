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
        // The tests that need programs of others are no part of `--all-targets`.
        &[
            "clippy", "--workspace", "--all-targets", "--test", "peers", "--test", "promtool", "--test",
            "postgres", "--test", "load", "--test", "fuzz", "--all-features", "--locked", "--", "-D",
            "warnings",
        ],
    ),
    Stage::with(
        "supply chain (bans, licences, sources; advisories need a database from the network: not run)",
        &[Tool::CargoDeny],
        &["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"],
    ),
    Stage::with("unused dependencies", &[Tool::CargoMachete], &[]),
    Stage::cargo(
        "tests, hermetic, with all features",
        &["test", "--workspace", "--all-features", "--locked", "--no-fail-fast"],
    ),
    // What the features change; the rest is the same code as above.
    Stage::cargo(
        "tests, hermetic, as built by default",
        &[
            "test", "--package", "epro-notify", "--locked", "--no-fail-fast", "--test", "it", "--",
            "config::", "openapi::", "process::start", "reports::preview::",
        ],
    ),
    Stage::cargo(
        "load tests, whether they work",
        &["test", "--workspace", "--all-features", "--locked", "--test", "load", "--", "smoke"],
    )
    .needing(&[Tool::K6]),
    Stage::cargo("forks: built, tested, started and called", &["xtask", "check-forks"])
        .needing(&[Tool::Curl, Tool::Git]),
    Stage::cargo("fuzzing, seconds a target", &["xtask", "fuzz", "--seconds", "2"]).needing(&[Tool::Cxx]),
    Stage::target("the queue on PostgreSQL", &[Tool::Postgres], "postgres"),
    Stage::peer("tests with strace", &[Tool::Strace], "system_calls::"),
    Stage::peer("tests with promtool", &[Tool::Promtool], "metrics_page::"),
    Stage::target("rules with promtool and amtool", &[Tool::Promtool, Tool::Amtool], "promtool"),
    Stage::peer("tests with etcd", &[Tool::Etcd], "endpoints::etcd::"),
    Stage::peer("tests with a name server", &[Tool::Dnsmasq], "endpoints::dns::"),
    Stage::peer("tests with poppler", &[Tool::Pdf], "preview::"),
    Stage::peer("tests with Grafana's types of dashboards", &[Tool::Npm], "grafana_schema::"),
    Stage::peer("tests with a disk of their own", &[Tool::Unshare], "disk_full::"),
    Stage::peer("tests with schemathesis", &[Tool::Schemathesis], "schemathesis::"),
    Stage::peer(
        "tests of what deploys it, with the real collector",
        &[Tool::Collector, Tool::ComposeSpec, Tool::Promtool],
        "deploy::",
    ),
    Stage::with("the Dockerfile with hadolint", &[Tool::Hadolint], &["deploy/Dockerfile"]),
    Stage::peer("services in their images' roots", &[Tool::Unshare, Tool::Pdf], "image::"),
    Stage::peer(
        "manifests with kustomize and kubernetes-validate",
        &[Tool::Kustomize, Tool::KubernetesValidate],
        "kubernetes::",
    ),
    Stage::peer(
        "dashboards and rules on live services, with Prometheus",
        &[Tool::Prometheus, Tool::Etcd, Tool::Pdf],
        "live::dashboards::",
    ),
    Stage::peer(
        "from an alert to a trace and its lines, with Prometheus, collector and Jaeger",
        &[Tool::Prometheus, Tool::Etcd, Tool::Pdf, Tool::Collector, Tool::Jaeger],
        "live::walk::",
    ),
    Stage::long("the checks of live answers", "live::checks::"),
    Stage::long("tests with many kills", "kills::"),
    Stage::peer(
        "replicas on PostgreSQL: killed, without their server, updated",
        &[Tool::Postgres],
        "replicas::",
    ),
    Stage::cargo(
        "documentation",
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--all-features", "--locked"],
    )
    .with_env("RUSTDOCFLAGS", "-D warnings"),
];

/// Draws what the README shows. Not a stage: what is drawn is looked at, and its queries are tested without it.
const PICTURES: Stage = Stage::peer(
    "pictures",
    &[Tool::Chromium, Tool::Collector, Tool::Etcd, Tool::Jaeger, Tool::Npm, Tool::Pdf, Tool::Prometheus],
    "live::pictures::",
)
.with_env("PICTURES", "docs/pictures");

/// Writes `docs/pictures`, fetching what is missing for it.
pub fn pictures() -> ExitCode {
    let mut account = Account::default();
    let policy = Policy { install: true, strict: true };
    account.time(PICTURES.name(), || PICTURES.run(&Tools::new(), policy));
    account.print();
    if account.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

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
