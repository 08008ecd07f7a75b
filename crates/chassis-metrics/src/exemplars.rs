//! Exemplars: for each bucket of each histogram the last recorded value of a sampled trace, with that trace's ids.
//! How they are written lives in `open_metrics.rs`, the counts in the exporter.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{collections::HashMap, sync::Arc};

use ::metrics::{Histogram, HistogramFn, Key};
use metrics_exporter_prometheus::formatting as prometheus;
use opentelemetry::trace::{SpanId, TraceId};
use parking_lot::{Mutex, RwLock};

/// Gives the ids of the current span where it is sampled.
pub type CurrentTrace = fn() -> Option<(TraceId, SpanId)>;

/// One recorded value and the span that it was recorded in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Exemplar {
    pub trace: (TraceId, SpanId),
    /// In the histogram's own unit.
    pub value: f64,
    /// Since 1970.
    pub at: Duration,
}

/// A bucket's exemplar, on a cache line of its own so that threads with other buckets are not slowed.
#[derive(Default)]
#[repr(align(64))]
struct Slot(Mutex<Option<Exemplar>>);

/// One series: the exporter's histogram with a slot for each bucket beside it, made when it is registered.
pub(super) struct Series {
    counts: Histogram,
    current: CurrentTrace,
    /// Upper edges, rising, without `+Inf`.
    edges: &'static [f64],
    slots: Box<[Slot]>,
}

impl HistogramFn for Series {
    /// Counts the value, and keeps it where its span is sampled. Takes no memory and waits for nobody: if another
    /// thread writes the same bucket at this moment, that one's exemplar is as good.
    fn record(&self, value: f64) {
        self.counts.record(value);
        let Some(trace) = (self.current)() else { return };
        // `le` is inclusive; what is not a number has no bucket but `+Inf`.
        let bucket = self.edges.iter().position(|edge| value <= *edge).unwrap_or(self.edges.len());
        let Some(mut slot) = self.slots.get(bucket).and_then(|slot| slot.0.try_lock()) else { return };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        *slot = Some(Exemplar { trace, value, at });
    }
}

/// The exemplars of all histograms.
pub(super) struct Exemplars {
    pub current: CurrentTrace,
    /// Of the histograms in the catalogues.
    pub edges: HashMap<&'static str, &'static [f64]>,
    pub series: RwLock<HashMap<Key, Arc<Series>>>,
}

impl Exemplars {
    /// The histogram of `key` with exemplars beside it; a histogram that is in no catalogue stays as it is.
    pub fn beside(&self, key: &Key, counts: impl FnOnce() -> Histogram) -> Histogram {
        if let Some(series) = self.series.read().get(key) {
            return Histogram::from_arc(Arc::clone(series));
        }
        let Some(&edges) = self.edges.get(key.name()) else { return counts() };
        let slots = || (0..=edges.len()).map(|_| Slot::default()).collect();
        let new = || Arc::new(Series { counts: counts(), current: self.current, edges, slots: slots() });
        let mut all = self.series.write();
        let series = all.entry(key.clone()).or_insert_with(new);
        Histogram::from_arc(Arc::clone(series))
    }

    /// The exemplars of now, by the bucket's series as the exporter writes it.
    pub fn snapshot(&self) -> HashMap<String, Exemplar> {
        let mut taken = HashMap::new();
        for (key, series) in &*self.series.read() {
            let edges = series.edges.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
            let kept = edges.zip(&series.slots).filter_map(|(edge, slot)| Some((edge, (*slot.0.lock())?)));
            taken.extend(kept.map(|(edge, exemplar)| (bucket_of(key, &edge), exemplar)));
        }
        taken
    }
}

/// `name_bucket{label="value",le="1"}`, by the exporter's own rules.
fn bucket_of(key: &Key, edge: &str) -> String {
    let mut bucket = prometheus::sanitize_metric_name(key.name()) + "_bucket{";
    for label in key.labels() {
        let name = prometheus::sanitize_label_key(label.key());
        bucket.extend([&*name, "=\"", &prometheus::sanitize_label_value(label.value()), "\","]);
    }
    bucket + "le=\"" + edge + "\"}"
}
