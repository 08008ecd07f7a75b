//! The metrics of a process: `metrics-exporter-prometheus` behind the `metrics` macros, with exemplars beside its
//! histograms and OpenMetrics for those who ask for it.
//!
//! What each metric means stands in the [`catalogue`]s; values that are read only when somebody asks come from hooks.

pub mod catalogue;
mod exemplars;
mod exposition;
mod handles;
mod open_metrics;

use std::{collections::HashMap, io, sync::Arc, thread, time::Duration};

use ::metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::{Mutex, RwLock};
use tokio_metrics::{RuntimeMetricsReporterBuilder, RuntimeMonitor};

use catalogue::{Kind, Metric, Values};
use exemplars::Exemplars;

pub use exemplars::CurrentTrace;
pub use exposition::Exposition;
pub use handles::Handles;
pub use metrics_exporter_prometheus::BuildError;

const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Reads something and sets metrics to it.
type Hook = Box<dyn Fn() + Send + Sync>;

/// All metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Hooks and rendering share one lock, so that a scrape is one snapshot.
    hooks: Arc<Mutex<Vec<Hook>>>,
    handle: PrometheusHandle,
    exemplars: Arc<Exemplars>,
}

/// What the macros talk to.
pub struct MetricsRecorder {
    counts: PrometheusRecorder,
    exemplars: Arc<Exemplars>,
}

impl Metrics {
    /// The metrics, and the recorder that feeds them, which is still to be installed. `current` gives exemplars their
    /// trace.
    ///
    /// # Errors
    /// A histogram without buckets.
    pub fn new(
        catalogues: &[&'static [Metric]],
        current: CurrentTrace,
    ) -> Result<(Self, MetricsRecorder), BuildError> {
        let mut builder = PrometheusBuilder::new();
        let all = catalogues.iter().copied().flatten().filter(|metric| metric.kind == Kind::Histogram);
        let edges: HashMap<_, _> = all.map(|metric| (metric.name, metric.buckets)).collect();
        for (name, buckets) in &edges {
            builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
        }
        let counts = builder.build_recorder();
        let exemplars = Arc::new(Exemplars { current, edges, series: RwLock::default() });
        let metrics = Self { hooks: Arc::default(), handle: counts.handle(), exemplars: exemplars.clone() };
        Ok((metrics, MetricsRecorder { counts, exemplars }))
    }

    /// Describes every metric and sets those that exist from the start; the recorder must be in place.
    pub fn begin(&self, catalogues: &[&'static [Metric]]) {
        catalogues.iter().copied().flatten().for_each(describe);
        let process = metrics_process::Collector::default();
        process.describe();
        self.on_scrape(move || process.collect());
    }

    /// Starts the thread that bounds the memory of histograms while nobody scrapes.
    ///
    /// # Errors
    /// There is no thread.
    pub fn keep_up(&self) -> io::Result<()> {
        let handle = self.handle.clone();
        let work = move || {
            loop {
                thread::park_timeout(UPKEEP_INTERVAL);
                handle.run_upkeep();
            }
        };
        thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(work).map(drop)
    }

    /// Runs `hook` before each rendering, to set what is only known by asking. It must not block for long, and must
    /// not call these metrics.
    pub fn on_scrape(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.hooks.lock().push(Box::new(hook));
    }

    /// Registers the `tokio_*` metrics for this runtime.
    pub fn watch_runtime(&self, runtime: &tokio::runtime::Handle) {
        let builder = RuntimeMetricsReporterBuilder::default().describe();
        let reporter = Mutex::new(builder.build_with_monitor(RuntimeMonitor::new(runtime)));
        self.on_scrape(move || reporter.lock().run_once());
    }

    /// All metrics, as one snapshot. Takes milliseconds where there are many: call it where blocking is allowed.
    pub fn render(&self, exposition: Exposition) -> String {
        let hooks = self.hooks.lock();
        hooks.iter().for_each(|hook| hook());
        // Taken before the counts are, the exemplars hold no value that those do not.
        let exemplars = self.exemplars.snapshot();
        let text = self.handle.render();
        if exposition == Exposition::Text { text } else { open_metrics::from_text(&text, &exemplars) }
    }
}

fn describe(metric: &'static Metric) {
    let (name, unit) = (metric.name, metric.unit);
    let rule = if metric.store_wide { " Store-wide: take max, never sum." } else { "" };
    let help = [metric.help, rule].concat();
    let zeros = if metric.from_zero { combinations(metric) } else { Vec::new() };
    match metric.kind {
        Kind::Counter => {
            ::metrics::describe_counter!(name, unit, help);
            zeros.iter().for_each(|labels| ::metrics::counter!(name, labels).increment(0));
        }
        Kind::Gauge => {
            ::metrics::describe_gauge!(name, unit, help);
            zeros.iter().for_each(|labels| ::metrics::gauge!(name, labels).set(0.0));
        }
        Kind::Histogram => ::metrics::describe_histogram!(name, unit, help),
    }
}

/// Every combination of the labels' values; none if one of them is open.
fn combinations(metric: &Metric) -> Vec<Vec<(&'static str, &'static str)>> {
    metric.labels.iter().fold(vec![vec![]], |all, (label, values)| {
        let values = if let Values::Closed(values) = values { *values } else { &[] };
        let with = |value| move |labels: &Vec<_>| [labels.as_slice(), &[(*label, value)]].concat();
        values.iter().flat_map(|value| all.iter().map(with(*value))).collect()
    })
}

impl Recorder for MetricsRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.counts.describe_counter(key, unit, help);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.counts.describe_gauge(key, unit, help);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, help: SharedString) {
        self.counts.describe_histogram(key, unit, help);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Counter {
        self.counts.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Gauge {
        self.counts.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Histogram {
        self.exemplars.beside(key, || self.counts.register_histogram(key, metadata))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use ::metrics::{gauge, histogram, with_local_recorder};

    use super::*;
    use catalogue::counter;

    const OWN: &[&[Metric]] = &[&[
        catalogue::histogram("took_seconds", "How long it took."),
        counter("done_total", "What was done.")
            .labels(&[("outcome", Values::Closed(&["ok", "failed"]))])
            .from_zero(),
    ]];

    fn metrics() -> (Metrics, MetricsRecorder) {
        Metrics::new(OWN, || None).unwrap()
    }

    #[test]
    fn a_histogram_has_the_buckets_of_its_catalogue() {
        let (metrics, recorder) = metrics();
        with_local_recorder(&recorder, || histogram!("took_seconds").record(0.2));
        let text = metrics.render(Exposition::Text);
        assert!(text.contains("# TYPE took_seconds histogram"));
        assert!(text.contains("took_seconds_bucket{le=\"0.1\"} 0"));
    }

    #[test]
    fn hooks_run_before_each_rendering() {
        let (metrics, recorder) = metrics();
        let (gauge, calls) = with_local_recorder(&recorder, || (gauge!("asked"), AtomicU32::new(0)));
        metrics.on_scrape(move || gauge.set(calls.fetch_add(1, Ordering::Relaxed)));
        assert!(metrics.render(Exposition::Text).contains("asked 0"));
        assert!(metrics.render(Exposition::Text).contains("asked 1"));
    }

    #[test]
    fn process_runtime_and_closed_labels_are_there_from_the_start() {
        let (metrics, recorder) = metrics();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let text = with_local_recorder(&recorder, || {
            metrics.begin(OWN);
            metrics.watch_runtime(runtime.handle());
            metrics.render(Exposition::Text)
        });
        for expected in [
            "process_resident_memory_bytes ", "process_open_fds ", "tokio_workers_count 2",
            "# HELP tokio_live_tasks_count", "done_total{outcome=\"ok\"} 0",
            "done_total{outcome=\"failed\"} 0",
        ] {
            assert!(text.contains(expected), "{expected} is missing in {text}");
        }
    }
}
