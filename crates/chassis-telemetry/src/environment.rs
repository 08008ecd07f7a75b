//! What the SDK and its exporter do not read from `OTEL_*` themselves, or read too strictly: words in any case, a
//! warning instead of silence for what is not understood, and one service name for lines and spans.

use std::{hash::RandomState, time::Duration};

use opentelemetry::{Key, KeyValue, Value};
use opentelemetry_sdk::{Resource, resource::EnvResourceDetector, resource::TelemetryResourceDetector};

use crate::propagation::{self, Propagator};
use crate::{Service, TraceContext, bridge::Sampling};

/// The values of `OTEL_TRACES_SAMPLER`.
#[rustfmt::skip]
const SAMPLERS: [&str; 6] = [
    "parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio",
    "always_on", "always_off", "traceidratio",
];

/// Reads variables; collects warnings.
pub(crate) struct Environment<'a> {
    pub get: &'a dyn Fn(&str) -> Option<String>,
    pub warnings: Vec<String>,
}

/// How ended spans are gathered and sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Export {
    /// Over HTTP with protobuf, else gRPC.
    pub http: bool,
    /// How long spans wait for more.
    pub delay: Duration,
    pub max_queue_spans: u64,
    pub max_batch_spans: usize,
    /// One batch with all its retries.
    pub timeout: Duration,
}

impl Environment<'_> {
    /// The value without space around it; an empty one is none, as the specification asks.
    pub fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// The value that `parse` makes of the lower-case text; a warning and nothing if it makes none.
    fn parsed<T>(&mut self, name: &str, expected: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?.to_ascii_lowercase();
        let parsed = parse(&text);
        if parsed.is_none() {
            // Without the text, which may be a secret that was meant for another variable.
            self.warnings.push(format!("{name} is ignored; expected {expected}"));
        }
        parsed
    }

    /// Which of these words the variable is.
    fn word(&mut self, name: &str, words: &[&str]) -> Option<usize> {
        self.parsed(name, &words.join(" or "), |text| words.iter().position(|word| *word == text))
    }

    fn number(&mut self, name: &str, usual: u32) -> u32 {
        let parse = |text: &str| text.parse().ok().filter(|number| *number > 0);
        self.parsed(name, "a whole number above 0", parse).unwrap_or(usual)
    }

    pub fn propagator(&mut self, baggage: &'static [&'static str]) -> Propagator {
        let list = self.text("OTEL_PROPAGATORS").unwrap_or_else(|| propagation::USUAL.to_owned());
        let (propagator, unknown) = Propagator::new(&list, baggage);
        self.warnings.extend(unknown.iter().map(|name| format!("OTEL_PROPAGATORS: `{name}` is not known")));
        propagator
    }

    pub fn sampling(&mut self) -> Sampling {
        let in_range = |text: &str| text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
        let ratio = self.parsed("OTEL_TRACES_SAMPLER_ARG", "a number from 0 to 1", in_range).unwrap_or(1.0);
        let sampler = self.word("OTEL_TRACES_SAMPLER", &SAMPLERS).unwrap_or(0);
        let fraction = [1.0, 0.0, ratio][sampler % 3];
        Sampling { parent_based: sampler < 3, fraction, key: RandomState::new() }
    }

    /// `None`: spans have ids and go nowhere.
    pub fn export(&mut self) -> Option<Export> {
        let disabled = self.word("OTEL_SDK_DISABLED", &["false", "true"]) == Some(1);
        let none = self.word("OTEL_TRACES_EXPORTER", &["otlp", "none"]) == Some(1);
        let first = |names: [&'static str; 2]| names.into_iter().find(|name| self.text(name).is_some());
        first(["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"])?;
        let protocol = first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]);
        let http = protocol.and_then(|name| self.word(name, &["grpc", "http/protobuf"])) == Some(1);
        (!disabled && !none).then(|| Export {
            http,
            // The specification's delay of 5 s would lose that much of what explains a crash, and its queue of 2048
            // spans is full in a moment: ours is bounded by bytes. Collectors refuse messages above 4 MiB.
            delay: Duration::from_millis(self.number("OTEL_BSP_SCHEDULE_DELAY", 200).into()),
            timeout: Duration::from_millis(self.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000).into()),
            max_queue_spans: self.number("OTEL_BSP_MAX_QUEUE_SIZE", u32::MAX).into(),
            max_batch_spans: self.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1024) as usize,
        })
    }

    /// The program's name and version where the environment names none, and the name it ends up with: of two
    /// `service.name` in `OTEL_RESOURCE_ATTRIBUTES` the SDK takes one, and lines take the same.
    pub fn resource(&self, service: Service) -> (Resource, String) {
        let own = [("service.name", service.name), ("service.version", service.version)];
        let named = self.text("OTEL_SERVICE_NAME").map(|name| KeyValue::new("service.name", name));
        let resource = Resource::builder_empty()
            .with_attributes(own.map(|(key, value)| KeyValue::new(key, value)))
            .with_attribute(KeyValue::new("service.instance.id", TraceContext::new_root().trace_id()))
            .with_detector(Box::new(TelemetryResourceDetector))
            .with_detector(Box::new(EnvResourceDetector::new()))
            .with_attributes(named)
            .build();
        let name = resource.get(&Key::new("service.name")).unwrap_or(Value::from(""));
        (resource, name.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Read {
        export: Option<Export>,
        sampling: Sampling,
        warnings: Vec<String>,
    }

    fn read(values: &[(&str, &str)]) -> Read {
        let get =
            |name: &str| values.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut environment = Environment { get: &get, warnings: Vec::new() };
        environment.propagator(&[]);
        let (export, sampling) = (environment.export(), environment.sampling());
        Read { export, sampling, warnings: environment.warnings }
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317");

    #[test]
    fn nothing_is_exported_unless_an_endpoint_is_set() {
        assert!(read(&[]).export.is_none());
        assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).export.is_none());
        assert!(!read(&[ENDPOINT]).export.unwrap().http);
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
        assert!(export.http && export.delay == Duration::from_millis(50));
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
        assert!(!environment.export.unwrap().http);
        assert!(environment.sampling.parent_based && environment.sampling.fraction == 1.0);
    }
}
