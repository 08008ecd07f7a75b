//! What of the manifests and the workflow can be judged without kustomize.

use super::{read_yaml, repository, text, texts, yaml};
use std::{collections::BTreeSet, fs};

/// The rules as objects of the Prometheus Operator, which kustomize can't make of them.
#[test]
fn the_cluster_s_rules_are_the_rules() {
    let file = "deploy/k8s/base/rules.yaml";
    let mut rules =
        "# Made of deploy/prometheus/rules by `UPDATE_EXPECT=1 cargo test --test files`: edit those.\n"
            .to_owned();
    let names = fs::read_dir(repository("deploy/prometheus/rules")).unwrap();
    let names: BTreeSet<_> =
        names.map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned()).collect();
    for name in names.iter().map(|name| name.to_string_lossy()) {
        rules += &format!(
            "---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata:\n  name: {name}\n  labels:\n    \
             app.kubernetes.io/name: {name}\nspec:\n"
        );
        for line in text(&format!("deploy/prometheus/rules/{name}.yml")).lines() {
            rules += &if line.is_empty() { "\n".to_owned() } else { format!("  {line}\n") };
        }
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(repository(file), &rules).unwrap();
    }
    assert!(text(file) == rules, "{file}: `UPDATE_EXPECT=1 cargo test --test files` writes it");
}

#[test]
fn the_cluster_has_every_dashboard() {
    let maps = yaml("dashboards/kustomization.yaml");
    let maps = maps["configMapGenerator"].as_sequence().unwrap().iter();
    let listed: BTreeSet<_> = maps.flat_map(|map| texts(&map["files"])).collect();
    let there = crate::read::boards().unwrap().into_iter().map(|board| board.file.replace("dashboards/", ""));
    assert_eq!(listed, there.collect());
}

#[test]
fn the_workflow_runs_what_anybody_can_run_with_pinned_actions_and_no_rights() {
    let workflow = text(".github/workflows/ci.yml");
    let job = &read_yaml(&workflow)["jobs"]["ci"];
    let runs: Vec<_> =
        job["steps"].as_sequence().unwrap().iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(runs, [".ci/run"]);
    assert_eq!(super::keys(&read_yaml(&workflow)["permissions"]), ["contents"]);
    assert!(workflow.contains("\npermissions:\n  contents: read\n") && !workflow.contains("secrets."));
    for action in workflow.split("uses: ").skip(1) {
        let commit = action.split('@').nth(1).unwrap().split_whitespace().next().unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    }
    let image = format!("rust:{}-bookworm", yaml_version());
    assert_eq!(job["container"]["image"].as_str(), Some(&*image));
}

fn yaml_version() -> String {
    text("rust-toolchain.toml").split('"').nth(1).unwrap().to_owned()
}
