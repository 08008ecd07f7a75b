//! The settings of telemetry: `RUST_LOG`, `APP_LOG__FORMAT`, and OpenTelemetry's own variables.

use std::time::Duration;

use super::lines::Format;
use super::sampling::{Root, Sampling};
pub use super::settings::Protocol;
use super::settings::{
    Attributes, Directives, Fraction, Headers, Millis, Number, SamplerName, TracesExporter, Url,
};
use crate::platform::config::Reader;

/// All settings of telemetry.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// Which events become lines, as `RUST_LOG` says it.
    pub filter: Directives,
    pub format: Format,
    /// `service.name`, where it is not the program's own.
    pub service_name: Option<String>,
    /// Further attributes of this process.
    pub resource: Vec<(String, String)>,
    pub sampling: Sampling,
    /// Where spans go; `None` keeps their ids and records nothing.
    pub export: Option<Export>,
}

/// How spans reach the collector.
#[derive(Clone, Debug)]
pub struct Export {
    pub endpoint: Endpoint,
    pub headers: Headers,
    /// One call.
    pub timeout: Duration,
    pub batching: Batching,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    pub protocol: Protocol,
    /// With scheme and, for HTTP, path.
    pub url: String,
}

/// How spans are gathered. `None` leaves the bound to the queue's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Batching {
    /// How long the first span of a batch waits for more.
    pub delay: Duration,
    pub max_queue_spans: Option<usize>,
    pub max_batch_spans: Option<usize>,
    /// One batch with all its retries.
    pub export_timeout: Duration,
}

impl TelemetryConfig {
    /// Reads all settings; faults are the reader's.
    pub fn read(reader: &mut Reader) -> Self {
        let filter = reader.environment(
            "RUST_LOG",
            "info",
            "which log lines are written; never which have ids or which spans are exported",
        );
        let format = reader.value("log.format", "json", "`json`, or `pretty` for a terminal");
        let disabled: bool =
            reader.environment("OTEL_SDK_DISABLED", "false", "`true` records and exports no span");
        let name =
            reader.environment_optional("OTEL_SERVICE_NAME", "the service's name, if not the program's");
        let attributes: Option<Attributes> = reader.environment_optional(
            "OTEL_RESOURCE_ATTRIBUTES",
            "further attributes of this process: `key=value,…`",
        );
        let sampling = read_sampling(reader);
        let exporter: TracesExporter =
            reader.environment("OTEL_TRACES_EXPORTER", "otlp", "`otlp`, or `none`");
        let export = read_export(reader);
        let on = !disabled && exporter == TracesExporter::Otlp;
        let mut resource = attributes.unwrap_or_default().0;
        // The variable of its own wins over the attribute, as the specification has it.
        let of_resource = resource
            .iter()
            .position(|(key, _)| key == super::names::SERVICE_NAME)
            .map(|at| resource.remove(at).1);
        let service_name = name.or(of_resource);
        Self { filter, format, service_name, resource, sampling, export: export.filter(|_| on) }
    }
}

fn read_sampling(reader: &mut Reader) -> Sampling {
    let sampler = reader.environment(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "`always_on`, `always_off`, `traceidratio`, or one of them after `parentbased_`",
    );
    let Fraction(fraction) =
        reader.environment("OTEL_TRACES_SAMPLER_ARG", "1", "the fraction for `traceidratio`, 0 to 1");
    let (parent_based, root) = match sampler {
        SamplerName::AlwaysOn { parent_based } => (parent_based, Root::AlwaysOn),
        SamplerName::AlwaysOff { parent_based } => (parent_based, Root::AlwaysOff),
        SamplerName::TraceIdRatio { parent_based } => (parent_based, Root::Ratio(fraction)),
    };
    Sampling { parent_based, root }
}

/// `None` where no endpoint is set.
fn read_export(reader: &mut Reader) -> Option<Export> {
    let protocol = reader.environment("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "`grpc`, or `http/protobuf`");
    let of_traces =
        reader.environment_optional("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "the same for spans alone");
    let protocol = of_traces.unwrap_or(protocol);
    let url: Option<Url> = reader.environment_optional(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "where spans are exported to, as `http://localhost:4317`; not set, none are",
    );
    let of_traces: Option<Url> = reader.environment_optional(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "the same for spans alone; for `http/protobuf` with the whole path",
    );
    let headers: Option<Headers> =
        reader.environment_optional("OTEL_EXPORTER_OTLP_HEADERS", "sent with each export: `key=value,…`");
    let headers_of_traces: Option<Headers> =
        reader.environment_optional("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "the same for spans alone");
    let Millis(timeout) =
        reader.environment("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "one call to the collector, in ms");
    let timeout_of_traces =
        reader.environment_optional("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "the same for spans alone");
    let batching = read_batching(reader);
    let url = match (of_traces, url) {
        (Some(Url(own)), _) => own,
        (None, Some(Url(base))) => generic_url(protocol, base),
        (None, None) => return None,
    };
    let timeout = timeout_of_traces.map_or(timeout, |Millis(own)| own);
    let headers = headers_of_traces.or(headers).unwrap_or_default();
    Some(Export { endpoint: Endpoint { protocol, url }, headers, timeout, batching })
}

/// The endpoint for all signals is a base that each signal's path is appended to, over HTTP.
fn generic_url(protocol: Protocol, base: String) -> String {
    match protocol {
        Protocol::Grpc => base,
        Protocol::HttpProtobuf => format!("{}/v1/traces", base.trim_end_matches('/')),
    }
}

fn read_batching(reader: &mut Reader) -> Batching {
    // The specification's 5 s would lose that much of what explains a crash.
    let Millis(delay) = reader.environment("OTEL_BSP_SCHEDULE_DELAY", "200", "how long spans gather, in ms");
    let Millis(export_timeout) =
        reader.environment("OTEL_BSP_EXPORT_TIMEOUT", "30000", "one batch with its retries, in ms");
    let queue: Option<Number> = reader
        .environment_optional("OTEL_BSP_MAX_QUEUE_SIZE", "spans that wait at most; not set, 8 MiB of them");
    let batch: Option<Number> = reader.environment_optional(
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "spans in one call at most; not set, 1 MiB of them",
    );
    let (max_queue_spans, max_batch_spans) =
        (queue.map(|Number(spans)| spans), batch.map(|Number(spans)| spans));
    Batching { delay, max_queue_spans, max_batch_spans, export_timeout }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> TelemetryConfig {
        let mut reader = Reader::for_tests(values);
        let config = TelemetryConfig::read(&mut reader);
        reader.finish().unwrap();
        config
    }

    fn faults(values: &[(&str, &str)]) -> String {
        let mut reader = Reader::for_tests(values);
        TelemetryConfig::read(&mut reader);
        reader.finish().unwrap_err().to_string()
    }

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_set() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");
        assert!(read(&[]).export.is_none());
        let export = read(&[endpoint]).export.unwrap();
        assert_eq!(
            export.endpoint,
            Endpoint { protocol: Protocol::Grpc, url: "http://collector:4317".to_owned() }
        );
        assert!(read(&[endpoint, ("OTEL_SDK_DISABLED", "true")]).export.is_none());
        assert!(read(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).export.is_none());
    }

    #[test]
    fn what_is_said_of_spans_alone_wins() {
        let export = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4318/own"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1000"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"),
        ])
        .export
        .unwrap();
        assert_eq!(
            export.endpoint,
            Endpoint { protocol: Protocol::HttpProtobuf, url: "https://traces:4318/own".to_owned() }
        );
        assert_eq!(export.timeout, Duration::from_secs(2));
        assert_eq!(export.headers.to_map().len(), 1);
        assert_eq!(export.headers.to_map()["b"], "2");
    }

    #[test]
    fn samplers_names_and_attributes_are_read() {
        let config = read(&[
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment.name=test"),
        ]);
        assert_eq!(config.sampling, Sampling { parent_based: false, root: Root::Ratio(0.25) });
        assert_eq!(config.service_name.as_deref(), Some("other"));
        assert_eq!(config.resource, [("deployment.environment.name".to_owned(), "test".to_owned())]);
        assert_eq!(read(&[]).sampling, Sampling { parent_based: true, root: Root::AlwaysOn });
    }

    #[test]
    fn every_fault_is_named_and_no_secret_shown() {
        let faults = faults(&[
            ("RUST_LOG", "a=b=c"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "canary-secret"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ]);
        for name in ["RUST_LOG", "OTLP_ENDPOINT", "OTLP_HEADERS", "TRACES_SAMPLER", "MAX_QUEUE_SIZE"] {
            assert!(faults.contains(name), "{name} is missing in {faults}");
        }
        assert!(!faults.contains("canary"), "{faults}");
    }

    #[test]
    fn only_the_endpoint_for_all_signals_is_a_base() {
        let base = || "http://collector:4318/otlp/".to_owned();
        assert_eq!(generic_url(Protocol::HttpProtobuf, base()), "http://collector:4318/otlp/v1/traces");
        assert_eq!(generic_url(Protocol::Grpc, base()), base());
    }
}
