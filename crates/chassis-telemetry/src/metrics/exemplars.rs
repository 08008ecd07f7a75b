//! Exemplars: for each bucket of each histogram the last recorded value of a sampled trace, with that trace's ids.
//! How they are written lives in `open_metrics.rs`, the counts in the exporter.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ::metrics::{Histogram, HistogramFn, Key};
use metrics_exporter_prometheus::formatting::{
    sanitize_label_key, sanitize_label_value, sanitize_metric_name,
};
use parking_lot::Mutex;

use crate::TraceContext;

/// One recorded value and the span that it was recorded in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub trace: TraceContext,
    /// In the histogram's own unit.
    pub value: f64,
    /// Since 1970.
    pub at: Duration,
}

/// A series' exemplars at one moment: one slot a bucket, `+Inf` last.
pub(super) type Buckets = Vec<Option<Exemplar>>;

/// A bucket's exemplar, on a cache line of its own so that threads with other buckets are not slowed.
#[derive(Default)]
#[repr(align(64))]
struct Slot(Mutex<Option<Exemplar>>);

/// One series: the exporter's histogram with a slot for each bucket beside it, made when it is registered.
struct Series {
    counts: Histogram,
    /// Upper edges, rising, without `+Inf`.
    edges: &'static [f64],
    slots: Box<[Slot]>,
}

impl HistogramFn for Series {
    /// Counts the value, and keeps it where its span is sampled. Takes no memory and waits for nobody: if another
    /// thread writes the same bucket at this moment, that one's exemplar is as good.
    fn record(&self, value: f64) {
        self.counts.record(value);
        let Some(trace) = TraceContext::current().filter(TraceContext::sampled) else { return };
        // `le` is inclusive; what is not a number has no bucket but `+Inf`.
        let bucket = self.edges.iter().position(|edge| value <= *edge).unwrap_or(self.edges.len());
        let Some(mut slot) = self.slots.get(bucket).and_then(|slot| slot.0.try_lock()) else { return };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        *slot = Some(Exemplar { trace, value, at });
    }
}

/// The exemplars of all histograms. Cheap to clone.
#[derive(Clone)]
pub(super) struct Exemplars {
    edges: Arc<HashMap<&'static str, &'static [f64]>>,
    registered: Arc<Mutex<HashMap<Key, Registered>>>,
}

struct Registered {
    /// How the exporter begins each of its bucket lines, up to the label `le`.
    line: Arc<str>,
    series: Arc<Series>,
}

impl Exemplars {
    pub fn new(edges: HashMap<&'static str, &'static [f64]>) -> Self {
        Self { edges: Arc::new(edges), registered: Arc::default() }
    }

    /// The histogram of `key` with exemplars beside it; a histogram that is in no catalogue stays as it is.
    pub fn beside(&self, key: &Key, counts: Histogram) -> Histogram {
        let Some(&edges) = self.edges.get(key.name()) else { return counts };
        let mut all = self.registered.lock();
        let registered = all.entry(key.clone()).or_insert_with(|| {
            let slots = (0..=edges.len()).map(|_| Slot::default()).collect();
            Registered { line: line_of(key), series: Arc::new(Series { counts, edges, slots }) }
        });
        Histogram::from_arc(Arc::clone(&registered.series))
    }

    /// The exemplars of now, by how the exporter begins the series' bucket lines.
    pub fn snapshot(&self) -> HashMap<Arc<str>, Buckets> {
        let all = self.registered.lock();
        let taken = |series: &Series| -> Buckets { series.slots.iter().map(|slot| *slot.0.lock()).collect() };
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
