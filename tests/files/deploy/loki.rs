//! Loki's configuration, against the keys of its release's reference, since Loki, which refuses what it does not know, is
//! not there to be asked. Only what the file sets is listed.

use super::{at, text, unknown_keys, yaml};
use serde_yaml_ng::Value;

const FILE: &str = "deploy/loki/config.yaml";
/// A section and its keys.
const KEYS: &str = "
    : auth_enabled server common schema_config limits_config compactor pattern_ingester analytics
    server: http_listen_address http_listen_port grpc_listen_address grpc_listen_port log_level
    common: instance_addr path_prefix replication_factor ring storage
    common.ring: kvstore
    common.ring.kvstore: store
    common.storage: filesystem
    common.storage.filesystem: chunks_directory rules_directory
    schema_config: configs
    schema_config.configs: from store object_store schema index
    schema_config.configs.index: prefix period
    limits_config: allow_structured_metadata otlp_config retention_period reject_old_samples volume_enabled
    limits_config: reject_old_samples_max_age ingestion_rate_mb ingestion_burst_size_mb max_line_size
    limits_config: max_line_size_truncate
    limits_config.otlp_config: resource_attributes
    limits_config.otlp_config.resource_attributes: ignore_defaults attributes_config
    limits_config.otlp_config.resource_attributes.attributes_config: action attributes
    compactor: working_directory retention_enabled delete_request_store
    pattern_ingester: enabled
    analytics: reporting_enabled
";

/// Panics unless each of these settings has its value.
fn assert_set(loki: &Value, settings: &[(&str, &str)]) {
    for (path, value) in settings {
        assert_eq!(*at(loki, path), serde_yaml_ng::from_str::<Value>(value).unwrap(), "{path}");
    }
}

#[test]
fn loki_knows_every_key() {
    assert_eq!(unknown_keys(&yaml(FILE), KEYS), [""; 0]);
    let misspelled = super::read_yaml(&text(FILE).replace("retention_period", "retention_time"));
    assert_eq!(unknown_keys(&misspelled, KEYS), ["limits_config.retention_time"]);
}

#[test]
fn lines_come_by_otlp_with_their_trace_ids_and_are_asked_for_by_their_service() {
    let loki = yaml(FILE);
    let [schema] = &loki["schema_config"]["configs"].as_sequence().unwrap()[..] else { panic!("one schema") };
    // Structured metadata, where trace ids go, needs both; tsdb needs the period.
    assert_set(schema, &[("store", "tsdb"), ("schema", "v13"), ("index.period", "24h")]);
    assert!(schema["from"].as_str().unwrap() < "2026-11" && schema["object_store"] == "filesystem");
    assert_set(&loki, &[("limits_config.allow_structured_metadata", "true")]);
    let labels = &at(&loki, "limits_config.otlp_config.resource_attributes")["attributes_config"][0];
    assert_set(labels, &[("action", "index_label"), ("attributes", "[service.name]")]);
}

#[test]
fn it_forgets_and_keeps_everything_where_the_volume_is() {
    let loki = yaml(FILE);
    assert_set(
        &loki,
        &[
            ("compactor.retention_enabled", "true"),
            ("compactor.delete_request_store", "filesystem"),
            ("limits_config.reject_old_samples", "true"),
            ("limits_config.max_line_size", "256KB"),
            ("limits_config.max_line_size_truncate", "true"),
            ("limits_config.volume_enabled", "true"),
            ("common.path_prefix", "/loki"),
        ],
    );
    let limits = &loki["limits_config"];
    assert_eq!(limits["retention_period"], limits["reject_old_samples_max_age"]);
    assert!(limits["ingestion_burst_size_mb"].as_u64() >= limits["ingestion_rate_mb"].as_u64());
    assert!(text("deploy/compose.yaml").contains("- loki-data:/loki\n"));
    let folders = &loki["common"]["storage"]["filesystem"];
    for folder in
        [&folders["chunks_directory"], &folders["rules_directory"], &loki["compactor"]["working_directory"]]
    {
        assert!(folder.as_str().unwrap().starts_with("/loki/"), "{folder:?}");
    }
}

#[test]
fn it_stands_alone_and_tells_nobody() {
    assert_set(
        &yaml(FILE),
        &[
            ("auth_enabled", "false"),
            ("analytics.reporting_enabled", "false"),
            ("pattern_ingester.enabled", "false"),
            ("common.replication_factor", "1"),
            ("common.instance_addr", "127.0.0.1"),
            ("common.ring.kvstore.store", "inmemory"),
            ("server.http_listen_address", "0.0.0.0"),
            ("server.http_listen_port", "3100"),
            ("server.grpc_listen_address", "127.0.0.1"),
            ("server.grpc_listen_port", "9095"),
            ("server.log_level", "warn"),
        ],
    );
}
