//! Where spans and lines go: the real collector and the real Jaeger on the shipped configurations, and in Loki's
//! place somebody who keeps the lines.

use super::{api::Api, stack::Member};
use crate::{
    deploy::{
        backends::Lines,
        collector::{Collector, Site},
        lines,
    },
    program::{Program, free_address, shipped},
};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// The receivers of what the services tell of themselves.
pub struct Telemetry {
    pub lines: Lines,
    api: Api,
    site: Site,
    _collector: Collector,
    _jaeger: Program,
    _folder: TempDir,
}

impl Telemetry {
    pub fn start() -> Self {
        let (folder, lines) = (tempfile::tempdir().unwrap(), Lines::start());
        let [otlp, query, grpc, health, metrics] = std::array::from_fn(|_| free_address());
        let mut program = Program::start("jaeger", folder.path(), |command| {
            for (variable, address) in [
                ("JAEGER_OTLP_LISTEN", otlp),
                ("JAEGER_QUERY_LISTEN", query),
                ("JAEGER_QUERY_GRPC_LISTEN", grpc),
                ("JAEGER_HEALTH_LISTEN", health),
            ] {
                command.env(variable, address.to_string());
            }
            command.env("JAEGER_METRICS_HOST", metrics.ip().to_string());
            command.env("JAEGER_METRICS_PORT", metrics.port().to_string());
            command.arg("--config").arg(shipped("deploy/jaeger/config.yaml"));
        });
        let well = |address, path: &str| Api::of(address).text(path, &[]).is_ok();
        program.until_so("is well", || well(health, "/status"));
        assert!(well(metrics, "/metrics"), "Jaeger can be scraped");
        let site = Site::new(otlp, lines.address);
        let collector = site.start();
        Self { lines, api: Api::of(query), site, _collector: collector, _jaeger: program, _folder: folder }
    }

    /// What services are told of it: where it is, and to give up soon what it does not take.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.site.grpc())),
            ("OTEL_BSP_EXPORT_TIMEOUT", "1000".to_owned()),
        ]
    }

    /// Where Jaeger answers questions.
    pub fn jaeger(&self) -> String {
        self.api.url()
    }

    /// A trace as Jaeger tells it, if it has it.
    pub fn trace(&self, id: &str) -> Option<Value> {
        let mut answer = self.api.json(&format!("/api/traces/{id}"), &[]).ok()?;
        Some(answer["data"][0].take()).filter(Value::is_object)
    }

    /// Hands everything that a service has written to stdout to the collector, as Docker would have kept it.
    pub fn collect(&self, name: &str, member: &Member) {
        lines::write(&self.site, name, written(member).lines().map(str::to_owned));
    }
}

/// What all runs of a service have written to stdout.
pub fn written(member: &Member) -> String {
    let files = fs::read_dir(member.site.folder()).unwrap().map(|file| file.unwrap().path());
    let outputs = files
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("output-")));
    outputs.map(|path| fs::read_to_string(path).unwrap()).collect()
}
