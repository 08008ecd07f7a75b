//! Loki's configuration, against the keys of its release's reference: typed, since Loki, which refuses what it
//! does not know, is not there to be asked. Only what the file sets is listed.

use super::text;
use serde::Deserialize;
use serde_yaml_ng::Value;

const FILE: &str = "deploy/loki/config.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loki {
    auth_enabled: bool,
    server: Server,
    common: Common,
    schema_config: Schemas,
    limits_config: Limits,
    compactor: Compactor,
    pattern_ingester: PatternIngester,
    analytics: Analytics,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    http_listen_address: String,
    http_listen_port: u16,
    grpc_listen_address: String,
    grpc_listen_port: u16,
    log_level: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Common {
    instance_addr: String,
    path_prefix: String,
    replication_factor: u8,
    ring: Value,
    storage: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schemas {
    configs: Vec<Schema>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Schema {
    from: String,
    store: String,
    object_store: String,
    schema: String,
    index: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    allow_structured_metadata: bool,
    otlp_config: Value,
    retention_period: String,
    reject_old_samples: bool,
    reject_old_samples_max_age: String,
    ingestion_rate_mb: u32,
    ingestion_burst_size_mb: u32,
    max_line_size: String,
    max_line_size_truncate: bool,
    volume_enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Compactor {
    working_directory: String,
    retention_enabled: bool,
    delete_request_store: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PatternIngester {
    enabled: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Analytics {
    reporting_enabled: bool,
}

fn loki() -> Loki {
    serde_yaml_ng::from_str(&text(FILE)).unwrap()
}

#[test]
fn lines_come_by_otlp_with_their_trace_ids_and_are_asked_for_by_their_service() {
    let loki = loki();
    let [schema] = &loki.schema_config.configs[..] else { panic!("one schema") };
    // Structured metadata, where trace ids go, needs both.
    assert_eq!((schema.store.as_str(), schema.schema.as_str()), ("tsdb", "v13"));
    assert!(loki.limits_config.allow_structured_metadata);
    assert_eq!(schema.index["period"], "24h", "what tsdb needs");
    assert!(schema.from.as_str() < "2026-11" && schema.object_store == "filesystem");
    let labels = &loki.limits_config.otlp_config["resource_attributes"]["attributes_config"][0];
    assert_eq!(labels["action"], "index_label");
    assert_eq!(labels["attributes"][0], "service.name");
}

#[test]
fn it_forgets_and_keeps_everything_where_the_volume_is() {
    let loki = loki();
    assert!(loki.compactor.retention_enabled && loki.compactor.delete_request_store == "filesystem");
    let limits = &loki.limits_config;
    assert_eq!(limits.retention_period, limits.reject_old_samples_max_age);
    assert!(limits.reject_old_samples && limits.max_line_size_truncate && limits.volume_enabled);
    assert!(limits.ingestion_burst_size_mb >= limits.ingestion_rate_mb && limits.max_line_size == "256KB");
    let volume = "- loki-data:/loki\n";
    assert!(text("deploy/compose.yaml").contains(volume));
    assert_eq!(loki.common.path_prefix, "/loki");
    assert!(loki.compactor.working_directory.starts_with("/loki/"));
    let storage = &loki.common.storage["filesystem"];
    for folder in ["chunks_directory", "rules_directory"] {
        assert!(storage[folder].as_str().unwrap().starts_with("/loki/"), "{folder}");
    }
}

#[test]
fn it_stands_alone_and_tells_nobody() {
    let loki = loki();
    assert!(!loki.auth_enabled && !loki.analytics.reporting_enabled && !loki.pattern_ingester.enabled);
    assert_eq!((loki.common.replication_factor, loki.common.instance_addr.as_str()), (1, "127.0.0.1"));
    assert_eq!(loki.common.ring["kvstore"]["store"], "inmemory");
    assert_eq!((loki.server.http_listen_address.as_str(), loki.server.http_listen_port), ("0.0.0.0", 3100));
    assert_eq!((loki.server.grpc_listen_address.as_str(), loki.server.grpc_listen_port), ("127.0.0.1", 9095));
    assert_eq!(loki.server.log_level, "warn");
}
