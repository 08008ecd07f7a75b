//! Grafana's provisioning files, against the settings that its documentation names (11.6: provisioning, and the
//! pages of the three data sources): typed, so that a key that Grafana would silently ignore is a fault
//! here. Grafana itself is not asked.

use super::{text, yaml};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Datasources {
    api_version: u32,
    datasources: Vec<Datasource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Datasource {
    name: String,
    uid: String,
    access: String,
    url: String,
    #[serde(default)]
    is_default: bool,
    editable: bool,
    #[serde(flatten)]
    kind: Kind,
}

/// What differs by type stands under `jsonData`.
#[derive(Deserialize)]
#[serde(tag = "type", content = "jsonData", rename_all = "lowercase")]
enum Kind {
    Prometheus(Prometheus),
    Loki(Loki),
    Jaeger(Jaeger),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Prometheus {
    http_method: String,
    manage_alerts: bool,
    prometheus_type: String,
    time_interval: String,
    exemplar_trace_id_destinations: Vec<Destination>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Destination {
    name: String,
    datasource_uid: String,
    url_display_label: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Loki {
    max_lines: u32,
    derived_fields: Vec<DerivedField>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DerivedField {
    name: String,
    matcher_type: String,
    matcher_regex: String,
    url: String,
    url_display_label: String,
    datasource_uid: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Jaeger {
    traces_to_logs_v2: TracesToLogs,
    node_graph: Switch,
    trace_id_time_params: Switch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TracesToLogs {
    datasource_uid: String,
    span_start_time_shift: String,
    span_end_time_shift: String,
    #[serde(rename = "filterByTraceID")]
    filter_by_trace_id: bool,
    #[serde(rename = "filterBySpanID")]
    filter_by_span_id: bool,
    custom_query: bool,
    query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Dashboards {
    api_version: u32,
    providers: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Provider {
    name: String,
    folder: String,
    folder_uid: String,
    r#type: String,
    disable_deletion: bool,
    allow_ui_updates: bool,
    update_interval_seconds: u32,
    options: Files,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Files {
    path: String,
    folders_from_files_structure: bool,
}

const DATASOURCES: &str = "deploy/grafana/provisioning/datasources/datasources.yaml";
const DASHBOARDS: &str = "deploy/grafana/provisioning/dashboards/dashboards.yaml";

fn datasources() -> Datasources {
    serde_yaml_ng::from_str(&text(DATASOURCES)).unwrap()
}

#[test]
fn the_data_sources_are_those_that_dashboards_name_and_they_are_where_compose_puts_them() {
    let found = datasources();
    assert_eq!(found.api_version, 1);
    let stack = yaml("deploy/compose.yaml");
    for source in &found.datasources {
        let host = source.url.strip_prefix("http://").and_then(|rest| rest.split(':').next()).unwrap();
        assert!(!stack["services"][host].is_null(), "{}: no service {host}", source.name);
        assert!(source.access == "proxy" && !source.editable, "{}", source.name);
    }
    let uids: Vec<&str> = found.datasources.iter().map(|source| source.uid.as_str()).collect();
    assert_eq!(uids, ["prometheus", "loki", "jaeger"]);
    let defaults: Vec<&str> = found
        .datasources
        .iter()
        .filter(|source| source.is_default)
        .map(|source| source.name.as_str())
        .collect();
    assert_eq!(defaults, ["Prometheus"]);
}

#[test]
fn each_signal_leads_to_the_next_one() {
    let mut seen = 0;
    for source in datasources().datasources {
        seen += 1;
        match source.kind {
            Kind::Prometheus(prometheus) => {
                let [to] = &prometheus.exemplar_trace_id_destinations[..] else { panic!("one destination") };
                let told = (to.name.as_str(), to.datasource_uid.as_str(), to.url_display_label.as_str());
                assert_eq!(told, ("trace_id", "jaeger", "Trace"));
                assert_eq!((prometheus.http_method.as_str(), prometheus.manage_alerts), ("POST", true));
                assert_eq!(prometheus.prometheus_type, "Prometheus");
                let scraped = yaml("deploy/prometheus/prometheus.yml");
                assert_eq!(
                    scraped["global"]["scrape_interval"].as_str(),
                    Some(prometheus.time_interval.as_str())
                );
            }
            Kind::Loki(loki) => {
                let [field] = &loki.derived_fields[..] else { panic!("one field") };
                assert_eq!(
                    (field.matcher_type.as_str(), field.matcher_regex.as_str()),
                    ("label", "trace_id")
                );
                assert_eq!(
                    (field.datasource_uid.as_str(), field.url.as_str()),
                    ("jaeger", "$${__value.raw}")
                );
                assert!(field.name == "Trace" && field.url_display_label == "Trace" && loki.max_lines > 0);
            }
            Kind::Jaeger(jaeger) => {
                let logs = jaeger.traces_to_logs_v2;
                assert!(logs.custom_query && !logs.filter_by_trace_id && !logs.filter_by_span_id);
                assert_eq!(logs.datasource_uid, "loki");
                assert!(logs.query.contains(r#"trace_id="$${__trace.traceId}""#), "{}", logs.query);
                assert!(
                    logs.span_start_time_shift.starts_with('-') && !logs.span_end_time_shift.starts_with('-')
                );
                assert!(jaeger.node_graph.enabled && jaeger.trace_id_time_params.enabled);
            }
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn the_dashboards_come_from_the_folder_that_compose_mounts_and_can_be_edited() {
    let found: Dashboards = serde_yaml_ng::from_str(&text(DASHBOARDS)).unwrap();
    let [provider] = &found.providers[..] else { panic!("one provider") };
    assert!(found.api_version == 1 && provider.r#type == "file" && provider.update_interval_seconds >= 10);
    assert!(provider.disable_deletion && provider.allow_ui_updates);
    assert!(!provider.options.folders_from_files_structure, "all are in one folder");
    assert_eq!(
        (provider.name.as_str(), provider.folder.as_str()),
        (provider.folder_uid.as_str(), "epro-notify")
    );
    let mount = format!("- ../dashboards:{}:ro\n", provider.options.path);
    let home = format!("{}/service-overview.json\n", provider.options.path);
    let stack = text("deploy/compose.yaml");
    assert!(stack.contains(&mount) && stack.contains(&home), "{}", provider.options.path);
}

#[test]
fn a_key_that_grafana_does_not_know_is_found() {
    let right = text(DATASOURCES);
    for (word, other) in
        [("matcherType", "matchType"), ("tracesToLogsV2", "tracesToLogs"), ("customQuery", "custom")]
    {
        let broken = serde_yaml_ng::from_str::<Datasources>(&right.replace(word, other));
        assert!(broken.is_err(), "{other}");
    }
}
