//! The metrics: the recorder behind the `metrics` macros, and one consistent text of all of them.
//!
//! What each metric means stands in `telemetry/catalogue`; values that are read only when somebody asks come
//! from hooks.

mod build;
mod describe;
mod exemplars;
mod open_metrics;
mod process;

use std::sync::Arc;

use ::metrics::{Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use parking_lot::Mutex;

use super::names;

pub use build::PLATFORM_VERSION;
use exemplars::Exemplars;

/// Reads something and sets metrics to it.
type Hook = Box<dyn Fn() + Send + Sync>;

/// All metrics of the process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    /// Hooks and rendering share one lock, so that a scrape is one snapshot.
    hooks: Arc<Mutex<Vec<Hook>>>,
    handle: PrometheusHandle,
    exemplars: Exemplars,
}

/// The form that the metrics are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4: it has no exemplars.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

/// What the macros talk to: the exporter, with exemplars kept beside its histograms.
pub(super) struct MetricsRecorder {
    counts: PrometheusRecorder,
    exemplars: Exemplars,
}

impl Metrics {
    /// The metrics and the recorder that feeds them, which is still to be installed.
    pub(super) fn new() -> Result<(Self, MetricsRecorder), BuildError> {
        let mut builder = PrometheusBuilder::new();
        for (name, buckets) in names::HISTOGRAMS {
            builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
        }
        let (counts, exemplars) = (builder.build_recorder(), Exemplars::default());
        let metrics = Self { hooks: Arc::default(), handle: counts.handle(), exemplars: exemplars.clone() };
        Ok((metrics, MetricsRecorder { counts, exemplars }))
    }

    /// Describes every metric and starts what is told of the process; the recorder must be in place.
    pub(super) fn describe(&self, version: &str) {
        describe::describe();
        build::tell(version);
        let process = metrics_process::Collector::default();
        process.describe();
        self.on_scrape(Box::new(move || process.collect()));
    }

    /// Has `hook` run before each rendering, to set what is only known by asking. It must not block long,
    /// and must not call these metrics.
    pub fn on_scrape(&self, hook: Box<dyn Fn() + Send + Sync>) {
        self.hooks.lock().push(hook);
    }

    /// Has the `tokio_*` metrics told of this runtime.
    pub fn watch_runtime(&self, runtime: &tokio::runtime::Handle) {
        self.on_scrape(process::watch(runtime));
    }

    /// All metrics in Prometheus' text format, as one snapshot. Takes milliseconds where there are many:
    /// call it where blocking is allowed.
    pub fn render(&self) -> String {
        self.render_as(Exposition::Text)
    }

    /// The same in this form.
    pub fn render_as(&self, exposition: Exposition) -> String {
        let hooks = self.hooks.lock();
        hooks.iter().for_each(|hook| hook());
        match exposition {
            Exposition::Text => self.handle.render(),
            Exposition::OpenMetrics => {
                let exemplars = self.exemplars.snapshot();
                open_metrics::from_text(&self.handle.render(), &exemplars)
            }
        }
    }

    /// Moves recorded values into their buckets. Rendering does it as well, so this only bounds memory
    /// while nobody scrapes.
    pub(super) fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl Recorder for MetricsRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.counts.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.counts.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.counts.describe_histogram(key, unit, description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Counter {
        self.counts.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Gauge {
        self.counts.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Histogram {
        self.exemplars.beside(key, self.counts.register_histogram(key, metadata))
    }
}

#[cfg(test)]
mod tests {
    use ::metrics::{gauge, histogram, with_local_recorder};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn every_histogram_of_ours_has_buckets_with_edges_on_the_thresholds() {
        let (metrics, recorder) = Metrics::new().unwrap();
        with_local_recorder(&recorder, || {
            names::HISTOGRAMS.iter().for_each(|(name, _)| histogram!(*name).record(0.2));
        });
        let text = metrics.render();
        for (name, _) in names::HISTOGRAMS {
            assert!(text.contains(&format!("# TYPE {name} histogram")), "{name}");
        }
        assert!(text.contains("http_request_duration_seconds_bucket{le=\"0.1\"} 0"));
        assert!(text.contains("notification_end_to_end_duration_seconds_bucket{le=\"60\"} 1"));
        assert!(text.contains("notification_end_to_end_duration_seconds_bucket{le=\"300\"} 1"));
    }

    #[test]
    fn hooks_run_before_each_rendering() {
        let (metrics, recorder) = Metrics::new().unwrap();
        let (gauge, calls) = with_local_recorder(&recorder, || (gauge!("asked"), AtomicU32::new(0)));
        metrics.on_scrape(Box::new(move || gauge.set(calls.fetch_add(1, Ordering::Relaxed))));
        assert!(metrics.render().contains("asked 0"));
        assert!(metrics.render().contains("asked 1"));
    }

    #[test]
    fn process_runtime_and_build_are_told() {
        let (metrics, recorder) = Metrics::new().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let text = with_local_recorder(&recorder, || {
            metrics.describe("1.2.3");
            metrics.watch_runtime(runtime.handle());
            metrics.render()
        });
        for expected in [
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "tokio_workers_count 2",
            "# HELP tokio_live_tasks_count",
            "version=\"1.2.3\"",
            "rustc=\"",
            "commit=\"",
            &format!("platform_version=\"{PLATFORM_VERSION}\""),
        ] {
            assert!(text.contains(expected), "{expected} is missing in {text}");
        }
    }
}
