//! What telemetry saw on this thread: the lines and spans of requests and calls, and metrics.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tracing::{
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

/// Names and values of an event or a span.
pub type Values = BTreeMap<String, String>;

/// How HTTP and gRPC name their lines and spans.
const TOLD: [&str; 2] = ["request", "call"];

/// Records what this thread's code tells, until it is dropped.
pub struct Seen {
    lines: Arc<Mutex<Vec<Values>>>,
    spans: Arc<Mutex<Vec<Values>>>,
    metrics: PrometheusHandle,
    _subscriber: tracing::subscriber::DefaultGuard,
    _recorder: metrics::LocalRecorderGuard<'static>,
}

impl Seen {
    pub fn begin() -> Self {
        super::subscribers::keep_apart();
        let recorder = PrometheusBuilder::new().set_buckets(&[0.1, 1.0]).unwrap().build_recorder();
        let metrics = recorder.handle();
        // Leaked: the guard borrows it, and a test is short.
        let recorder = metrics::set_default_local_recorder(Box::leak(Box::new(recorder)));
        let layer = Recorder { lines: Arc::default(), spans: Arc::default() };
        let (lines, spans) = (Arc::clone(&layer.lines), Arc::clone(&layer.spans));
        let subscriber = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Self { lines, spans, metrics, _subscriber: subscriber, _recorder: recorder }
    }

    /// The lines of requests and calls, each with the name of the span that it stands in.
    pub fn lines(&self) -> Vec<Values> {
        self.lines.lock().clone()
    }

    /// The spans of requests and calls that have ended.
    pub fn spans(&self) -> Vec<Values> {
        self.spans.lock().clone()
    }

    /// The value of the one series of this name and these labels (as `status="200"`), 0 if there is none.
    pub fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.metrics.render();
        let of_it = |line: &&str| {
            line.split([' ', '{']).next() == Some(name) && labels.iter().all(|label| line.contains(label))
        };
        let values: Vec<&str> = page.lines().filter(of_it).collect();
        assert!(values.len() <= 1, "{values:?}");
        values.first().map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
    }

    /// The page of metrics.
    pub fn page(&self) -> String {
        self.metrics.render()
    }
}

struct Recorder {
    lines: Arc<Mutex<Vec<Values>>>,
    spans: Arc<Mutex<Vec<Values>>>,
}

impl<S: tracing::Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut values = Visited::default();
        attributes.record(&mut values);
        context.span(id).unwrap().extensions_mut().insert(values);
    }

    fn on_record(&self, id: &span::Id, record: &span::Record<'_>, context: Context<'_, S>) {
        record.record(context.span(id).unwrap().extensions_mut().get_mut::<Visited>().unwrap());
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let mut values = Visited::default();
        event.record(&mut values);
        if values.0.get("message").is_some_and(|message| TOLD.contains(&message.as_str())) {
            let span = context.event_span(event).map(|span| span.name().to_owned());
            values.0.insert("span".to_owned(), span.unwrap_or_default());
            self.lines.lock().push(values.0);
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if TOLD.contains(&span.name()) {
            self.spans.lock().push(span.extensions().get::<Visited>().unwrap().0.clone());
        }
    }
}

#[derive(Default)]
struct Visited(Values);

impl Visit for Visited {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}
