//! What the SDK and its exporter do not read from `OTEL_*` themselves, or read too strictly: words in any case, a
//! warning instead of silence for what is not understood, and one service name for lines and spans.

use std::{hash::RandomState, time::Duration};

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::Resource;

use crate::{Service, TraceContext, bridge::Sampling, names, propagation::Propagators};

/// Everything that is read before the parts are built.
pub(crate) struct Environment {
    pub filter: String,
    pub propagators: Propagators,
    pub sampling: Sampling,
    /// `None`: spans have ids and go nowhere.
    pub export: Option<Export>,
    pub resource: Resource,
    /// For lines and spans alike.
    pub service_name: String,
    pub warnings: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    HttpProtobuf,
}

/// How ended spans are gathered and sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Export {
    pub protocol: Protocol,
    /// How long the first span of a batch waits for more.
    pub delay: Duration,
    pub max_queue_spans: usize,
    pub max_batch_spans: usize,
    /// One batch with all its retries.
    pub timeout: Duration,
}

impl Default for Export {
    fn default() -> Self {
        // The specification's delay of 5 s would lose that much of what explains a crash, and its queue of 2048 spans
        // is full in a moment: ours is bounded by bytes.
        let (delay, timeout) = (Duration::from_millis(200), Duration::from_secs(30));
        Self { protocol: Protocol::Grpc, delay, max_queue_spans: usize::MAX, max_batch_spans: 2048, timeout }
    }
}

/// Reads variables; collects warnings.
struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    warnings: Vec<String>,
}

impl Environment {
    /// Reads the process's own variables.
    pub fn read(service: Service, baggage_keys: &'static [&'static str]) -> Self {
        Self::from(&|name| std::env::var(name).ok(), service, baggage_keys)
    }

    pub fn from(
        get: &dyn Fn(&str) -> Option<String>,
        service: Service,
        baggage: &'static [&'static str],
    ) -> Self {
        let mut reader = Reader { get, warnings: Vec::new() };
        let filter = reader.text("RUST_LOG").unwrap_or_else(|| "info".to_owned());
        let list = reader.text("OTEL_PROPAGATORS").unwrap_or_else(|| "tracecontext,baggage".to_owned());
        let (propagators, unknown) = Propagators::new(&list, baggage);
        let unknown =
            unknown.iter().map(|name| format!("OTEL_PROPAGATORS: `{name}` is not known; it is ignored"));
        reader.warnings.extend(unknown);
        let (sampling, export) = (reader.sampling(), reader.export());
        let (resource, service_name) = resource(service);
        Self { filter, propagators, sampling, export, resource, service_name, warnings: reader.warnings }
    }
}

impl Reader<'_> {
    /// The value without space around it; an empty one is none, as the specification asks.
    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value that `parse` makes of the lower-case text; a warning and nothing if it makes none.
    fn parsed<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?.to_ascii_lowercase();
        let parsed = parse(&text);
        if parsed.is_none() {
            self.warnings.push(format!("{name}: `{text}` is ignored; expected {expected}"));
        }
        parsed
    }

    fn millis(&mut self, name: &str) -> Option<Duration> {
        let parse = |text: &str| text.parse::<u32>().ok().map(|millis| Duration::from_millis(millis.into()));
        self.parsed(name, "a whole number of milliseconds", parse)
    }

    fn count(&mut self, name: &str) -> Option<usize> {
        let parse = |text: &str| text.parse::<u32>().ok().filter(|count| *count > 0);
        self.parsed(name, "a whole number above 0", parse).map(|count| count as usize)
    }

    fn sampling(&mut self) -> Sampling {
        let parse = |text: &str| {
            let (parent_based, root) =
                text.strip_prefix("parentbased_").map_or((false, text), |root| (true, root));
            matches!(root, "always_on" | "always_off" | "traceidratio")
                .then(|| (parent_based, root.to_owned()))
        };
        let expected = "always_on, always_off or traceidratio, each also with parentbased_ before it";
        let sampler = self.parsed("OTEL_TRACES_SAMPLER", expected, parse);
        let ratio = self.parsed("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", |text| {
            text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio))
        });
        let (parent_based, root) = sampler.unwrap_or((true, "always_on".to_owned()));
        let fraction = match root.as_str() {
            "always_off" => 0.0,
            "traceidratio" => ratio.unwrap_or(1.0),
            _ => 1.0,
        };
        Sampling { parent_based, fraction, key: RandomState::new() }
    }

    fn export(&mut self) -> Option<Export> {
        let truth = |text: &str| matches!(text, "true" | "false").then_some(text == "true");
        let disabled = self.parsed("OTEL_SDK_DISABLED", "true or false", truth).unwrap_or(false);
        let exporter = |text: &str| matches!(text, "otlp" | "none").then_some(text == "otlp");
        let otlp = self.parsed("OTEL_TRACES_EXPORTER", "otlp or none", exporter).unwrap_or(true);
        let protocol = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"].map(|name| {
            self.parsed(name, "grpc or http/protobuf", |text| match text {
                "grpc" => Some(Protocol::Grpc),
                "http/protobuf" => Some(Protocol::HttpProtobuf),
                _ => None,
            })
        });
        let endpoints = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let usual = Export::default();
        let export = Export {
            protocol: protocol.into_iter().flatten().next().unwrap_or(usual.protocol),
            delay: self.millis("OTEL_BSP_SCHEDULE_DELAY").unwrap_or(usual.delay),
            max_queue_spans: self.count("OTEL_BSP_MAX_QUEUE_SIZE").unwrap_or(usual.max_queue_spans),
            max_batch_spans: self.count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE").unwrap_or(usual.max_batch_spans),
            timeout: self.millis("OTEL_BSP_EXPORT_TIMEOUT").unwrap_or(usual.timeout),
        };
        let wanted = !disabled && otlp && endpoints.iter().any(|name| self.text(name).is_some());
        wanted.then_some(export)
    }
}

/// The SDK's resource with the program's name and version where the environment names none, and the name it ends up
/// with: of two `service.name` in `OTEL_RESOURCE_ATTRIBUTES` the SDK takes one, and lines take the same.
fn resource(service: Service) -> (Resource, String) {
    let name = Key::new(names::SERVICE_NAME);
    let detected = Resource::builder().build();
    let given = |key: &'static str| detected.get(&Key::new(key)).is_some();
    let mut own = vec![];
    let unnamed = |value: Value| value.as_str().is_empty() || value.as_str().starts_with("unknown_service");
    if detected.get(&name).is_none_or(unnamed) {
        own.push(KeyValue::new(names::SERVICE_NAME, service.name));
    }
    if !given(names::SERVICE_VERSION) {
        own.push(KeyValue::new(names::SERVICE_VERSION, service.version));
    }
    if !given(names::SERVICE_INSTANCE_ID) {
        own.push(KeyValue::new(names::SERVICE_INSTANCE_ID, TraceContext::new_root().trace_id()));
    }
    let resource = Resource::builder().with_attributes(own).build();
    let service_name = resource.get(&name).map_or_else(|| service.name.to_owned(), |name| name.to_string());
    (resource, service_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, &str)]) -> Environment {
        let get =
            |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Environment::from(&get, Service::new("a", "1"), &[])
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_set() {
        assert!(read(&[]).export.is_none());
        assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).export.is_none());
        assert_eq!(read(&[ENDPOINT]).export.unwrap().protocol, Protocol::Grpc);
        for off in [("OTEL_SDK_DISABLED", "True"), ("OTEL_TRACES_EXPORTER", "None")] {
            assert!(read(&[ENDPOINT, off]).export.is_none(), "{off:?}");
        }
    }

    #[test]
    fn words_are_read_in_any_case() {
        let environment = read(&[
            ENDPOINT,
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "HTTP/Protobuf"),
            ("OTEL_TRACES_SAMPLER", "PARENTBASED_TraceIdRatio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_BSP_SCHEDULE_DELAY", "50"),
            ("OTEL_SDK_DISABLED", "FALSE"),
        ]);
        let export = environment.export.unwrap();
        assert_eq!((export.protocol, export.delay), (Protocol::HttpProtobuf, Duration::from_millis(50)));
        assert!(environment.sampling.parent_based && environment.sampling.fraction == 0.25);
        assert_eq!(read(&[("OTEL_TRACES_SAMPLER", "ALWAYS_OFF")]).sampling.fraction, 0.0);
        assert!(environment.warnings.is_empty());
    }

    #[test]
    fn what_is_not_understood_is_warned_of_and_stops_nothing() {
        let environment = read(&[
            ENDPOINT,
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_TRACES_SAMPLER_ARG", "NaN"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier pigeon"),
            ("OTEL_PROPAGATORS", "tracecontext,b3"),
        ]);
        assert_eq!(environment.warnings.len(), 5, "{:?}", environment.warnings);
        assert_eq!(environment.export.unwrap().protocol, Protocol::Grpc);
        assert!(environment.sampling.parent_based && environment.sampling.fraction == 1.0);
    }
}
