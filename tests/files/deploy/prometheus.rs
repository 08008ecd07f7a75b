//! Prometheus' configuration: it scrapes what compose runs, under the names that dashboards and rules count on.

use super::{keys, text, texts, yaml};
use serde_yaml_ng::Value;
use std::collections::BTreeMap;

fn jobs() -> BTreeMap<String, Vec<String>> {
    let config = yaml("deploy/prometheus/prometheus.yml");
    let jobs = config["scrape_configs"].as_sequence().unwrap().iter();
    jobs.map(|job| {
        let targets = job["static_configs"].as_sequence().unwrap().iter();
        let targets = targets.flat_map(|config| texts(&config["targets"])).collect();
        (job["job_name"].as_str().unwrap().to_owned(), targets)
    })
    .collect()
}

#[test]
fn each_service_of_ours_is_scraped_at_its_admin_listener_under_the_job_that_everything_counts_on() {
    let stack = yaml("deploy/compose.yaml");
    let jobs = jobs();
    let listens = |service: &&String| {
        stack["services"][service.as_str()]["environment"]["APP_ADMIN__LISTEN"].as_str().is_some()
    };
    let services = keys(&stack["services"]);
    let services: Vec<_> = services.iter().filter(listens).map(String::as_str).collect();
    assert!(services.contains(&"epro-notify"), "{services:?}");
    for service in services {
        let listen = stack["services"][service]["environment"]["APP_ADMIN__LISTEN"].as_str().unwrap();
        let port = listen.rsplit(':').next().unwrap();
        assert_eq!(jobs[service], [format!("{service}:{port}")]);
    }
}

#[test]
fn every_target_is_a_service_of_the_stack() {
    let stack = yaml("deploy/compose.yaml");
    let alerting =
        &yaml("deploy/prometheus/prometheus.yml")["alerting"]["alertmanagers"][0]["static_configs"][0];
    let mut targets = texts(&alerting["targets"]);
    assert_eq!(targets, ["alertmanager:9093"]);
    targets.extend(jobs().into_values().flatten());
    for target in targets {
        let host = target.split(':').next().unwrap();
        let known = host == "localhost" || !stack["services"][host].is_null();
        assert!(known, "no service {host}");
    }
}

#[test]
fn exemplars_are_kept_and_rules_are_mounted_where_they_are_looked_for() {
    let service = &yaml("deploy/compose.yaml")["services"]["prometheus"];
    let arguments = texts(&service["command"]);
    assert!(arguments.contains(&"--enable-feature=exemplar-storage".to_owned()), "{arguments:?}");
    let folder = "./prometheus/rules:/etc/prometheus/rules:ro".to_owned();
    assert!(texts(&service["volumes"]).contains(&folder));
    assert!(text("deploy/prometheus/prometheus.yml").contains("  - rules/*.yml\n"));
    assert!(matches!(&service["read_only"], Value::Bool(true)));
}
