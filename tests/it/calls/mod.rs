//! Calls of the resilient client over real sockets, to another side that does as it is told.

mod attempts;
mod breaker;
mod key;
mod retries;
mod throttle;

use crate::support::{
    collector::{Behaviour, Collector},
    metrics_page::MetricsPage,
    scripted::{READ, WRITE},
    telemetry::start,
};
use epro_notify::platform::{
    grpc::client::{Channel, Client, ClientConfig, Target},
    telemetry::Metrics,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Map, Value};
use std::{net::SocketAddr, time::Duration};
use tracing::{Instrument, info_span};

const DEADLINE: Duration = Duration::from_secs(2);

/// What a test's calls have told.
struct Told {
    spans: Vec<Span>,
    metrics: MetricsPage,
    lines: Vec<Map<String, Value>>,
}

/// Runs a test under a span `caller`, with telemetry of its own.
fn told_of(test: impl AsyncFnOnce()) -> Told {
    told_with(async |_| test().await)
}

/// The same for a test that looks at its metrics meanwhile.
fn told_with(test: impl AsyncFnOnce(&Metrics)) -> Told {
    let collector = Collector::start(Behaviour::Accept);
    let (telemetry, lines) = start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    telemetry.run(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let caller = info_span!(target: "epro_notify::test", "caller");
        runtime.block_on(test(&telemetry.telemetry.metrics).instrument(caller));
    });
    let metrics = MetricsPage(telemetry.telemetry.metrics.render());
    assert!(telemetry.telemetry.shutdown(Duration::from_secs(30)));
    Told { spans: collector.spans(), metrics, lines: lines.objects() }
}

/// A client of these, named `other`.
fn client(addresses: &[SocketAddr]) -> Client {
    let target = Target::Static(addresses.iter().map(ToString::to_string).collect());
    let channel = Channel::open("other", &target).unwrap();
    let config = ClientConfig {
        name: "other",
        target,
        api_key: Some("a-secret".to_owned().into()),
        deadline: DEADLINE,
    };
    Client::new(config, channel).announcing(&[READ, WRITE])
}

impl Told {
    /// The spans of attempts, in the order in which they began.
    fn attempts(&self) -> Vec<&Span> {
        let mut attempts: Vec<&Span> =
            self.spans.iter().filter(|span| span.name.starts_with("test.v1.Scripted/")).collect();
        attempts.sort_by_key(|span| span.start_time_unix_nano);
        attempts
    }

    fn caller(&self) -> &Span {
        self.spans.iter().find(|span| span.name == "caller").unwrap()
    }

    /// The events of the caller's span with this name: their reasons, where they have one.
    fn events(&self, name: &str) -> Vec<String> {
        let events = self.caller().events.iter().filter(|event| event.name == name);
        events.map(|event| text(&event.attributes, "reason")).collect()
    }

    fn count(&self, metric: &str, labels: &[(&str, &str)]) -> u64 {
        self.metrics.sum(metric, labels)
    }

    /// The messages of the lines at this level.
    fn lines(&self, level: &str) -> Vec<&str> {
        let of_level = self.lines.iter().filter(|line| line["level"] == level);
        of_level.map(|line| line["message"].as_str().unwrap()).collect()
    }
}

/// An attribute as text; empty without it.
fn text(attributes: &[opentelemetry_proto::tonic::common::v1::KeyValue], key: &str) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = attributes.iter().find(|attribute| attribute.key == key);
    match value.and_then(|attribute| attribute.value.clone()?.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(other) => panic!("{other:?}"),
        None => String::new(),
    }
}
