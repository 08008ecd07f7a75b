//! What of the manifests and the workflow can be judged without kustomize.

use super::{repository, text};
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
        let source = text(&format!("deploy/prometheus/rules/{name}.yml"));
        rules.extend(source.lines().map(|line| format!("  {line}\n")));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(repository(file), &rules).unwrap();
    }
    assert!(text(file) == rules, "{file}: `UPDATE_EXPECT=1 cargo test --test files` writes it");
}

#[test]
fn the_workflow_runs_what_anybody_can_run_with_pinned_actions_and_no_rights() {
    let workflow = text(".github/workflows/ci.yml");
    assert!(
        workflow.contains("\npermissions:\n  contents: read\n") && workflow.ends_with("- run: .ci/run\n")
    );
    assert_eq!((workflow.matches("run: ").count(), workflow.matches("permissions:").count()), (1, 1));
    for action in workflow.split("uses: ").skip(1) {
        let commit = action.split(['@', ' ']).nth(1).unwrap();
        assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{commit}");
    }
}
