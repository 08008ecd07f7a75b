//! A small good dashboard, and for each rule what breaks it.

use super::Rule;
use crate::read::Board;
use serde_json::{Value, json};

/// The rule that is broken, and how.
type Break = (&'static str, fn(&mut Value));

/// The good one passes every rule, and each rule fails on each of its broken ones.
#[track_caller]
pub fn prove(rules: &[Rule], breaks: &[Break]) {
    let board = |json| Board { file: "dashboards/good.json".into(), json };
    for (name, rule) in rules {
        assert_eq!(rule(&board(good())), [""; 0], "{name}");
        assert!(breaks.iter().any(|(broken, _)| broken == name), "{name} is never broken");
    }
    for (at, (name, spoil)) in breaks.iter().enumerate() {
        let mut json = good();
        spoil(&mut json);
        assert_ne!(json, good(), "{name}: break {at} changes nothing");
        let (_, rule) = rules.iter().find(|(rule, _)| rule == name).unwrap();
        assert!(!rule(&board(json)).is_empty(), "{name}: break {at} passes");
    }
}

/// A panel's index in the good dashboard; the first is the row's head.
const LATENCY: usize = 1;
const COUNT: usize = 2;
const LINES: usize = 3;

pub fn good() -> Value {
    let source = |kind: &str, label: &str| json!({ "type": "datasource", "name": format!("{kind}_datasource"), "label": label, "query": kind });
    let choice = |name: &str, label: &str, query: &str| {
        json!({
            "type": "query", "name": name, "label": label, "query": query, "refresh": 2, "multi": true,
            "includeAll": true, "allValue": ".+", "datasource": { "type": "prometheus", "uid": "${prometheus_datasource}" },
        })
    };
    let row = json!({ "id": 1, "type": "row", "title": "Row", "panels": [], "gridPos": { "x": 0, "y": 0, "w": 24, "h": 1 } });
    json!({
        "uid": "good", "title": "Good", "editable": true, "panels": [row, latency(), count(), lines()],
        "templating": { "list": [
            source("prometheus", "Prometheus data source"),
            source("loki", "Loki data source"),
            choice("job", "Job", "label_values(build_info, job)"),
            choice("instance", "Instance", r#"label_values(build_info{job=~"$job"}, instance)"#),
        ] },
    })
}

fn panel(id: u32, title: &str, kind: &str, unit: &str, x: u32, target: Value) -> Value {
    let source = json!({ "type": kind, "uid": format!("${{{kind}_datasource}}") });
    let mut target = target;
    target["datasource"] = source.clone();
    let panes = r#"{"a":{"datasource":"${loki_datasource}","queries":[{"refId":"A","expr":"{service_name=\"a\"} | json","datasource":{"type":"loki","uid":"${loki_datasource}"}}],"range":{"from":"${__from}","to":"${__to}"}}}"#;
    let explore = format!("/explore?schemaVersion=1&orgId=1&panes={}", panes.replace(' ', "%20"));
    json!({
        "id": id, "type": "timeseries", "title": title, "description": "Told.", "datasource": source,
        "gridPos": { "x": x, "y": 1, "w": 8, "h": 8 },
        "fieldConfig": { "defaults": { "unit": unit }, "overrides": [] }, "targets": [target],
        "links": [{ "title": "Lines", "url": explore }, { "title": "Self", "url": "/d/service-overview?${__url_time_range}" }],
    })
}

fn latency() -> Value {
    let buckets = r#"sum by (le, route) (rate(http_request_duration_seconds_bucket{job=~"$job",instance=~"$instance"}[$__rate_interval]))"#;
    let expr = format!("histogram_quantile(0.99, {buckets})");
    panel(
        2,
        "Latency",
        "prometheus",
        "s",
        0,
        json!({ "expr": expr, "legendFormat": "{{route}}", "exemplar": true }),
    )
}

fn count() -> Value {
    let expr = r#"max(up{job=~"$job",instance=~"$instance"}) + max(slo:objective:ratio)"#;
    panel(3, "Count", "prometheus", "short", 8, json!({ "expr": expr, "legendFormat": "jobs" }))
}

fn lines() -> Value {
    let expr = r#"sum by (level) (count_over_time({service_name=~"a|b"} |= "x" | json [$__auto]))"#;
    panel(4, "Lines", "loki", "short", 16, json!({ "expr": expr, "legendFormat": "{{level}}" }))
}

fn ask(board: &mut Value, panel: usize, query: &str) {
    board["panels"][panel]["targets"][0]["expr"] = json!(query);
}

pub const LINTER: &[Break] = &[
    ("template-datasource", |b| b["templating"]["list"] = json!([])),
    ("template-datasource", |b| b["templating"]["list"][0]["name"] = json!("datasource")),
    ("template-datasource", |b| b["templating"]["list"][1]["label"] = json!("Logs")),
    ("template-job", |b| b["templating"]["list"][2]["name"] = json!("service")),
    ("template-job", |b| b["templating"]["list"][2]["type"] = json!("custom")),
    ("template-job", |b| b["templating"]["list"][2]["label"] = json!("job")),
    ("template-job", |b| b["templating"]["list"][2]["datasource"]["uid"] = json!("prometheus")),
    ("template-instance", |b| b["templating"]["list"][3]["multi"] = json!(false)),
    ("template-instance", |b| b["templating"]["list"][3]["allValue"] = json!("")),
    ("template-label-promql", |b| b["templating"]["list"][3]["query"] = json!("build_info")),
    ("template-label-promql", |b| b["templating"]["list"][3]["query"] = json!("values(build_info, job)")),
    ("template-label-promql", |b| {
        b["templating"]["list"][3]["query"] = json!("label_values(build_info{, job)")
    }),
    ("template-label-promql", |b| b["templating"]["list"][3]["query"] = json!("label_values(sum(up), job)")),
    ("template-on-time-change-reload", |b| b["templating"]["list"][2]["refresh"] = json!(1)),
    ("panel-datasource", |b| b["panels"][COUNT]["datasource"]["uid"] = json!("prometheus")),
    ("panel-datasource", |b| b["panels"][COUNT]["targets"][0]["datasource"] = json!(null)),
    ("panel-datasource", |b| b["panels"][LINES]["datasource"]["uid"] = json!("${prometheus_datasource}")),
    ("panel-title-description", |b| b["panels"][COUNT]["title"] = json!("")),
    ("panel-title-description", |b| b["panels"][COUNT]["description"] = json!(" ")),
    ("panel-units", |b| b["panels"][COUNT]["fieldConfig"]["defaults"] = json!({})),
    ("panel-units", |b| b["panels"][COUNT]["fieldConfig"]["defaults"]["unit"] = json!("furlongs")),
    ("panel-units", |b| {
        let override_ = json!({ "properties": [{ "id": "unit", "value": "furlongs" }] });
        b["panels"][COUNT]["fieldConfig"]["overrides"] = json!([override_]);
    }),
    ("panel-no-targets", |b| b["panels"][COUNT]["targets"] = json!([])),
    ("target-logql", |b| ask(b, LINES, "count_over_time({a=\"b\"} [$__auto]")),
    ("target-logql", |b| ask(b, LINES, "{} | json")),
    ("target-logql", |b| ask(b, LINES, "{a=\"b\"} json")),
    ("target-logql", |b| ask(b, LINES, "{a=\"b} | json")),
    ("target-logql-auto", |b| ask(b, LINES, "rate({a=\"b\"} [5m])")),
    ("target-promql", |b| ask(b, COUNT, "sum(up")),
    ("target-promql", |b| ask(b, COUNT, "")),
    ("target-rate-interval", |b| ask(b, COUNT, r#"rate(x_total{job=~"$job",instance=~"$instance"}[5m])"#)),
    ("target-job", |b| ask(b, COUNT, r#"max(up{instance=~"$instance"})"#)),
    ("target-job", |b| ask(b, COUNT, r#"max(up{job="$job",instance=~"$instance"})"#)),
    ("target-job", |b| ask(b, COUNT, r#"max(slow{instance=~"$instance"})"#)),
    ("target-instance", |b| ask(b, COUNT, r#"max(up{job=~"$job"})"#)),
    ("target-counter-agg", |b| ask(b, COUNT, r#"sum(x_total{job=~"$job",instance=~"$instance"})"#)),
    ("target-counter-agg", |b| ask(b, COUNT, "max_over_time(x_total[$__rate_interval])")),
    ("editable-dashboard", |b| b["editable"] = json!(false)),
];

pub const OURS: &[Break] = &[
    ("panel-links", |b| b["panels"][LATENCY]["links"] = json!([])),
    ("panel-links", |b| b["panels"][LATENCY]["links"][0]["url"] = json!("/d/service-overview")),
    ("latency-exemplars", |b| b["panels"][LATENCY]["targets"][0]["exemplar"] = json!(false)),
    ("unique-titles", |b| b["panels"][COUNT]["title"] = json!("Latency")),
    ("identity", |b| b["panels"][COUNT]["id"] = json!(2)),
    ("identity", |b| b["uid"] = json!("another")),
    ("layout", |b| b["panels"][COUNT]["gridPos"]["x"] = json!(7)),
    ("layout", |b| b["panels"][COUNT]["gridPos"]["w"] = json!(7)),
    ("layout", |b| b["panels"][LINES]["gridPos"]["w"] = json!(9)),
    ("links", |b| b["panels"][LATENCY]["links"][1]["url"] = json!("/d/gone")),
    ("links", |b| b["panels"][LATENCY]["links"][1]["url"] = json!("/dashboard/db/old")),
    ("links", |b| {
        b["panels"][LATENCY]["links"][0]["url"] = json!("/explore?schemaVersion=1&panes=%7B%22a%22")
    }),
    ("links", |b| relink(b, "service_name", "")),
    ("links", |b| relink(b, r#""datasource":"${loki_datasource}""#, r#""datasource":"${tempo_datasource}""#)),
    ("links", |b| relink(b, "${__from}", "now-1h")),
    ("legends", |b| b["panels"][LATENCY]["targets"][0]["legendFormat"] = json!("{{status}}")),
    ("legends", |b| b["panels"][LATENCY]["targets"][0]["legendFormat"] = json!("{{le}}")),
];

/// Changes a piece of the first panel's link into Explore.
fn relink(board: &mut Value, piece: &str, by: &str) {
    let url = &mut board["panels"][LATENCY]["links"][0]["url"];
    *url = json!(url.as_str().unwrap().replace(piece, by));
}
