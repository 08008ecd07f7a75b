//! Grafana's provisioning files, against the settings that its documentation names (11.6: provisioning, and the
//! pages of the three data sources): a key that Grafana would silently ignore is a fault here. Grafana itself is not asked.

use super::{read_yaml, text, texts, unknown_keys, yaml};
use serde_yaml_ng::Value;

const DATASOURCES: &str = "deploy/grafana/provisioning/datasources/datasources.yaml";
const DASHBOARDS: &str = "deploy/grafana/provisioning/dashboards/dashboards.yaml";

/// The keys of a data source of each type: a section and its keys.
const KEYS: [(&str, &str); 3] = [
    (
        "prometheus",
        "jsonData: httpMethod manageAlerts prometheusType timeInterval exemplarTraceIdDestinations
        jsonData.exemplarTraceIdDestinations: name datasourceUid urlDisplayLabel",
    ),
    (
        "loki",
        "jsonData: maxLines derivedFields
        jsonData.derivedFields: name matcherType matcherRegex url urlDisplayLabel datasourceUid",
    ),
    (
        "jaeger",
        "jsonData: tracesToLogsV2 nodeGraph traceIdTimeParams
        jsonData.tracesToLogsV2: datasourceUid spanStartTimeShift spanEndTimeShift filterByTraceID filterBySpanID
        jsonData.tracesToLogsV2: customQuery query
        jsonData.nodeGraph: enabled
        jsonData.traceIdTimeParams: enabled",
    ),
];

/// Every key of the file that Grafana does not know.
fn strange(file: &Value) -> Vec<String> {
    let sources = file["datasources"].as_sequence().unwrap().iter().flat_map(|source| {
        let (_, of_type) = KEYS.iter().find(|(kind, _)| source["type"] == *kind).unwrap();
        unknown_keys(source, &format!(": name uid type access url isDefault editable jsonData\n{of_type}"))
    });
    sources.collect()
}

/// The one source of this type.
fn source(kind: &str) -> Value {
    let file = yaml(DATASOURCES);
    let found = file["datasources"].as_sequence().unwrap().iter().filter(|source| source["type"] == kind);
    let [source] = &found.collect::<Vec<_>>()[..] else { panic!("one {kind}") };
    (*source).clone()
}

#[test]
fn the_data_sources_are_those_that_dashboards_name_and_they_are_where_compose_puts_them() {
    let (found, stack) = (yaml(DATASOURCES), yaml("deploy/compose.yaml"));
    assert_eq!((strange(&found), found["apiVersion"].as_u64()), (vec![], Some(1)));
    let sources = found["datasources"].as_sequence().unwrap();
    for source in sources {
        let url = source["url"].as_str().unwrap();
        let host = url.strip_prefix("http://").and_then(|rest| rest.split(':').next()).unwrap();
        assert!(!stack["services"][host].is_null(), "no service {host}");
        assert!(source["access"] == "proxy" && source["editable"] == false, "{url}");
    }
    let uids: Vec<_> = sources.iter().map(|source| source["uid"].as_str().unwrap()).collect();
    assert_eq!(uids, ["prometheus", "loki", "jaeger"]);
    let defaults = sources.iter().filter(|source| source["isDefault"] == true);
    assert_eq!(defaults.map(|source| source["name"].as_str().unwrap()).collect::<Vec<_>>(), ["Prometheus"]);
}

#[test]
fn each_signal_leads_to_the_next_one() {
    let prometheus = &source("prometheus")["jsonData"];
    let exemplars = "[{ name: trace_id, datasourceUid: jaeger, urlDisplayLabel: Trace }]";
    assert_eq!(prometheus["exemplarTraceIdDestinations"], read_yaml(exemplars));
    assert!(prometheus["httpMethod"] == "POST" && prometheus["manageAlerts"] == true);
    assert_eq!(prometheus["prometheusType"], "Prometheus");
    let scraped = yaml("deploy/prometheus/prometheus.yml");
    assert_eq!(scraped["global"]["scrape_interval"], prometheus["timeInterval"]);
    let loki = &source("loki")["jsonData"];
    let fields = "[{ name: Trace, matcherType: label, matcherRegex: trace_id, url: '$${__value.raw}',
        urlDisplayLabel: Trace, datasourceUid: jaeger }]";
    assert_eq!(loki["derivedFields"], read_yaml(fields));
    assert!(loki["maxLines"].as_u64() > Some(0));
    let jaeger = &source("jaeger")["jsonData"];
    let logs = &jaeger["tracesToLogsV2"];
    assert!(
        logs["customQuery"] == true && logs["filterByTraceID"] == false && logs["filterBySpanID"] == false
    );
    assert_eq!(logs["datasourceUid"], "loki");
    assert!(logs["query"].as_str().unwrap().contains(r#"trace_id="$${__trace.traceId}""#));
    let shifts =
        ["spanStartTimeShift", "spanEndTimeShift"].map(|key| logs[key].as_str().unwrap().starts_with('-'));
    assert_eq!(shifts, [true, false]);
    assert!(jaeger["nodeGraph"]["enabled"] == true && jaeger["traceIdTimeParams"]["enabled"] == true);
}

#[test]
fn the_dashboards_come_from_the_folder_that_compose_mounts_and_can_be_edited() {
    let found = yaml(DASHBOARDS);
    let known = ": apiVersion providers
        providers: name folder folderUid type disableDeletion allowUiUpdates updateIntervalSeconds options
        providers.options: path foldersFromFilesStructure";
    assert_eq!((unknown_keys(&found, known), found["apiVersion"].as_u64()), (vec![], Some(1)));
    let [provider] = &found["providers"].as_sequence().unwrap()[..] else { panic!("one provider") };
    assert!(provider["type"] == "file" && provider["updateIntervalSeconds"].as_u64() >= Some(10));
    assert!(provider["disableDeletion"] == true && provider["allowUiUpdates"] == true);
    assert!(provider["options"]["foldersFromFilesStructure"] == false, "all are in one folder");
    assert_eq!((&provider["name"], &provider["folder"]), (&provider["folderUid"], &"epro-notify".into()));
    let (path, stack) = (provider["options"]["path"].as_str().unwrap(), yaml("deploy/compose.yaml"));
    let mounts = texts(&stack["services"]["grafana"]["volumes"]);
    assert!(mounts.contains(&format!("../dashboards:{path}:ro")), "{mounts:?}");
    assert!(text("deploy/compose.yaml").contains(&format!("{path}/service-overview.json\n")));
}

#[test]
fn a_key_that_grafana_does_not_know_is_found() {
    let right = text(DATASOURCES);
    for (word, other) in
        [("matcherType", "matchType"), ("tracesToLogsV2", "tracesToLogs"), ("customQuery", "custom")]
    {
        assert_ne!(strange(&read_yaml(&right.replace(word, other))), [""; 0], "{other}");
    }
}
