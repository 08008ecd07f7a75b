//! Exemplars: for each bucket of each histogram the last recorded value of a sampled trace, with that
//! trace's ids. How they are written lives in `open_metrics.rs`, the counts in the exporter.

use std::collections::HashMap;
use std::sync::Arc;

use ::metrics::{Histogram, HistogramFn, Key};
use metrics_exporter_prometheus::formatting::{
    sanitize_label_key, sanitize_label_value, sanitize_metric_name,
};
use parking_lot::Mutex;

use crate::platform::telemetry::context::TraceContext;
use crate::platform::telemetry::names;
use crate::platform::time::now_ms;

/// One recorded value and the span that it was recorded in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub trace: TraceContext,
    /// In the histogram's own unit.
    pub value: f64,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// A series' exemplars at one moment: one place a bucket, `+Inf` last.
pub(super) type Buckets = Vec<Option<Exemplar>>;

/// A bucket's place, on a cache line of its own so that threads with other buckets are not slowed.
#[derive(Default)]
#[repr(align(64))]
struct Place(Mutex<Option<Exemplar>>);

/// One series: the exporter's histogram with a place for each bucket beside it, made when it is registered.
struct Series {
    counts: Histogram,
    /// Upper edges, rising, without `+Inf`.
    edges: &'static [f64],
    places: Box<[Place]>,
}

impl HistogramFn for Series {
    /// Counts the value, and keeps it where its span is sampled. Takes no memory and waits for nobody: if
    /// another thread writes the same bucket at this moment, that one's exemplar is as good.
    fn record(&self, value: f64) {
        self.counts.record(value);
        let Some(trace) = TraceContext::current().filter(TraceContext::sampled) else { return };
        // `le` is inclusive; what is not a number has no bucket but `+Inf`.
        let bucket = self.edges.iter().position(|edge| value <= *edge).unwrap_or(self.edges.len());
        let Some(mut place) = self.places.get(bucket).and_then(|place| place.0.try_lock()) else { return };
        *place = Some(Exemplar { trace, value, at: now_ms() });
    }
}

/// The exemplars of all histograms. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Exemplars(Arc<Mutex<HashMap<Key, Registered>>>);

struct Registered {
    /// How the exporter begins each of its bucket lines, up to the label `le`.
    line: Arc<str>,
    series: Arc<Series>,
}

impl Exemplars {
    /// The histogram of `key` with exemplars beside it; a histogram that has no buckets stays as it is.
    pub fn beside(&self, key: &Key, counts: Histogram) -> Histogram {
        let Some((_, edges)) = names::HISTOGRAMS.iter().find(|(name, _)| *name == key.name()) else {
            return counts;
        };
        let mut all = self.0.lock();
        let registered = all.entry(key.clone()).or_insert_with(|| {
            let places = (0..=edges.len()).map(|_| Place::default()).collect();
            Registered { line: line_of(key), series: Arc::new(Series { counts, edges, places }) }
        });
        Histogram::from_arc(Arc::clone(&registered.series))
    }

    /// The exemplars of now, by how the exporter begins the series' bucket lines. Taken before the counts
    /// are, it holds no value that those do not.
    pub fn snapshot(&self) -> HashMap<Arc<str>, Buckets> {
        let all = self.0.lock();
        let taken =
            |series: &Series| -> Buckets { series.places.iter().map(|place| *place.0.lock()).collect() };
        all.values().map(|registered| (Arc::clone(&registered.line), taken(&registered.series))).collect()
    }
}

/// `name_bucket{label="value",`, by the exporter's own rules.
fn line_of(key: &Key) -> Arc<str> {
    let mut line = sanitize_metric_name(key.name()) + "_bucket{";
    for label in key.labels() {
        let (name, value) = (sanitize_label_key(label.key()), sanitize_label_value(label.value()));
        line.extend([&*name, "=\"", &value, "\","]);
    }
    line.into()
}
