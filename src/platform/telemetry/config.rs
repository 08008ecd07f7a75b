//! The settings of telemetry: `RUST_LOG`, `APP_LOG__FORMAT`, and OpenTelemetry's own variables.
//!
//! Variables that are set to nothing count as not set, as OpenTelemetry's specification asks.

use std::time::Duration;

use super::lines::Format;
use super::sampling::{Root, Sampling};
use super::settings::{Attributes, Directives, Fraction, Headers, Millis, Name, Number, SamplerName, Switch, TracesExporter, Url};
pub use super::settings::Protocol;
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
        let filter = reader.environment("RUST_LOG", "info", "which log lines are written; never which have ids or which spans are exported");
        let format = reader.value("log.format", "json", "`json`, or `pretty` for a terminal");
        let Switch(disabled) = reader.environment("OTEL_SDK_DISABLED", "false", "`true` records and exports no span");
        let name = reader.environment_optional("OTEL_SERVICE_NAME", "the service's name, if not the program's");
        let attributes: Option<Attributes> =
            reader.environment_optional("OTEL_RESOURCE_ATTRIBUTES", "further attributes of this process: `key=value,…`");
        let sampling = read_sampling(reader);
        let exporter = reader.environment("OTEL_TRACES_EXPORTER", "otlp", "`otlp`, or `none`");
        let export = read_export(reader);
        let on = !disabled && exporter == TracesExporter::Otlp;
        let mut resource = attributes.unwrap_or_default().0;
        // The variable of its own wins over the attribute, as the specification has it.
        let of_resource = resource.iter().position(|(key, _)| key == super::names::SERVICE_NAME).map(|at| resource.remove(at).1);
        let service_name = name.and_then(|Name(name)| name).or(of_resource);
        Self { filter, format, service_name, resource, sampling, export: export.filter(|_| on) }
    }
}

fn read_sampling(reader: &mut Reader) -> Sampling {
    let sampler = reader.environment(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "`always_on`, `always_off`, `traceidratio`, or one of them after `parentbased_`",
    );
    let Fraction(fraction) = reader.environment("OTEL_TRACES_SAMPLER_ARG", "1", "the fraction for `traceidratio`, 0 to 1");
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
    let of_traces = reader.environment_optional("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "the same for spans alone");
    let protocol = of_traces.unwrap_or(protocol);
    let url: Option<Url> = reader.environment_optional(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "where spans are exported to, as `http://localhost:4317`; not set, none are",
    );
    let of_traces: Option<Url> = reader.environment_optional(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "the same for spans alone; for `http/protobuf` with the whole path",
    );
    let headers = reader.environment("OTEL_EXPORTER_OTLP_HEADERS", "", "sent with each export: `key=value,…`");
    let headers_of_traces: Option<Headers> =
        reader.environment_optional("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "the same for spans alone");
    let Millis(timeout) = reader.environment("OTEL_EXPORTER_OTLP_TIMEOUT", "10000", "one call to the collector, in ms");
    let timeout_of_traces = reader.environment_optional("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "the same for spans alone");
    let batching = read_batching(reader);
    let url = match (of_traces, url) {
        (Some(Url(Some(own))), _) => own,
        (_, Some(Url(Some(generic)))) => generic_url(protocol, generic),
        _ => return None,
    };
    let timeout = timeout_of_traces.map_or(timeout, |Millis(own)| own);
    let headers = headers_of_traces.unwrap_or(headers);
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
    let Millis(export_timeout) = reader.environment("OTEL_BSP_EXPORT_TIMEOUT", "30000", "one batch with its retries, in ms");
    let queue: Option<Number> =
        reader.environment_optional("OTEL_BSP_MAX_QUEUE_SIZE", "spans that wait at most; not set, 64 MiB of them");
    let batch: Option<Number> =
        reader.environment_optional("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "spans in one call at most; not set, 2 MiB of them");
    let (max_queue_spans, max_batch_spans) = (queue.map(|Number(spans)| spans), batch.map(|Number(spans)| spans));
    Batching { delay, max_queue_spans, max_batch_spans, export_timeout }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_endpoint_for_all_signals_is_a_base() {
        let base = || "http://collector:4318/otlp/".to_owned();
        assert_eq!(generic_url(Protocol::HttpProtobuf, base()), "http://collector:4318/otlp/v1/traces");
        assert_eq!(generic_url(Protocol::Grpc, base()), base());
    }
}
