//! Putting the parts together, and taking them down: each span and line out before the process ends.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ::metrics::{counter, gauge};
use tracing::Dispatch;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;

use super::config::TelemetryConfig;
use super::context::TraceContext;
use super::filter::{Gate, LogFilter};
use super::lines::{LineLayer, LineWriter, Output};
use super::metrics::{Metrics, MetricsRecorder};
use super::spans::{Account, SpanLayer, Spans};
use super::{names, panic};

/// How long the last resort waits: something went wrong already.
const LAST_RESORT: Duration = Duration::from_millis(500);
/// Lines are shorter to write than spans to export, and the last to go.
const LINES_SHARE: Duration = Duration::from_millis(250);
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Who the lines and spans are of.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub name: &'static str,
    pub version: &'static str,
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("a thread or the standard output cannot be used: {0}")]
    Io(#[from] io::Error),
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("the log filter is not valid: it {0}")]
    Filter(String),
    #[error("telemetry was installed before")]
    Installed,
}

/// The process's telemetry. Dropped without [`Self::shutdown`] it flushes as a last resort.
pub struct Telemetry {
    pub metrics: Metrics,
    pub filter: LogFilter,
    flusher: Flusher,
    down: bool,
}

/// Brings spans and lines out at once, for ways out of the process that do not pass the shutdown.
#[derive(Clone)]
pub struct Flusher {
    spans: Option<Spans>,
    lines: Arc<LineWriter>,
}

/// Installs logs, traces and metrics for the whole process, and the panic hook.
///
/// # Errors
/// If a thread cannot be started, or telemetry was installed before.
pub fn init(config: &TelemetryConfig, service: Service) -> Result<Telemetry, InitError> {
    // Written to directly: Rust's own standard output would search each piece for line ends again.
    let output = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let (telemetry, dispatch, recorder) = assemble(config, service, Box::new(output))?;
    ::metrics::set_global_recorder(recorder).map_err(|_| InitError::Installed)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| InitError::Installed)?;
    panic::install();
    telemetry.tell(service.version);
    let metrics = telemetry.metrics.clone();
    thread::Builder::new().name("metrics-upkeep".to_owned()).spawn(move || {
        loop {
            #[expect(clippy::disallowed_methods, reason = "this thread has nothing else to do")]
            thread::sleep(UPKEEP_INTERVAL);
            metrics.upkeep();
        }
    })?;
    Ok(telemetry)
}

/// Telemetry of its own for one test: nothing of it is global.
pub struct TestTelemetry {
    pub telemetry: Telemetry,
    /// For `tracing::dispatcher::with_default` or `set_default`.
    pub dispatch: Dispatch,
    recorder: MetricsRecorder,
}

/// Telemetry that writes its lines to `output` and is installed nowhere.
///
/// # Errors
/// As [`init`].
pub fn init_for_tests(
    config: &TelemetryConfig,
    service: Service,
    output: Output,
) -> Result<TestTelemetry, InitError> {
    let (telemetry, dispatch, recorder) = assemble(config, service, output)?;
    ::metrics::with_local_recorder(&recorder, || telemetry.tell(service.version));
    Ok(TestTelemetry { telemetry, dispatch, recorder })
}

impl TestTelemetry {
    /// Runs `body` with this telemetry in place on this thread.
    pub fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        let body = || ::metrics::with_local_recorder(&self.recorder, body);
        tracing::dispatcher::with_default(&self.dispatch, body)
    }
}

type Assembled = (Telemetry, Dispatch, MetricsRecorder);

fn assemble(config: &TelemetryConfig, service: Service, output: Output) -> Result<Assembled, InitError> {
    let name = config.service_name.as_deref().unwrap_or(service.name);
    let (metrics, recorder) = Metrics::new()?;
    let lines = LineWriter::start(output)?;
    let resource = resource(config, name, service.version);
    let exporting = config.export.as_ref().map(|export| Spans::start(export, &resource)).transpose()?;
    let (spans, processor) = exporting.unzip();
    let (gate, log_filter) = Gate::new(&config.filter).map_err(InitError::Filter)?;
    let subscriber = Registry::default()
        .with(gate)
        .with(SpanLayer::new(config.sampling, processor))
        .with(LineLayer::new(config.format, (name, service.version), Arc::clone(&lines)));
    let flusher = Flusher { spans, lines };
    let telemetry = Telemetry { metrics, filter: log_filter, flusher, down: false };
    Ok((telemetry, Dispatch::new(subscriber), recorder))
}

/// Who sends the spans. `service.instance.id` is drawn anew at each start.
fn resource(config: &TelemetryConfig, name: &str, version: &str) -> Vec<(String, String)> {
    let own = [
        (names::SERVICE_NAME, name.to_owned()),
        (names::SERVICE_VERSION, version.to_owned()),
        (names::SERVICE_INSTANCE_ID, TraceContext::new_root().trace_id()),
    ];
    let is_given = |key: &str| config.resource.iter().any(|(given, _)| given == key);
    let own = own.into_iter().filter(|(key, _)| !is_given(key)).map(|(key, value)| (key.to_owned(), value));
    own.chain(config.resource.iter().cloned()).collect()
}

impl Telemetry {
    /// For ways out of the process that do not pass [`Self::shutdown`].
    pub fn flusher(&self) -> Flusher {
        self.flusher.clone()
    }

    /// Exports the spans and writes the lines until now, and ends both; what does not go out within
    /// `deadline` is dropped. `false` if anything was. Blocks: not for a runtime's worker.
    pub fn shutdown(mut self, deadline: Duration) -> bool {
        self.take_down(deadline)
    }

    fn take_down(&mut self, wait: Duration) -> bool {
        if std::mem::replace(&mut self.down, true) {
            return true;
        }
        let deadline = Instant::now() + wait;
        let for_spans = wait.saturating_sub(LINES_SHARE.min(wait / 4));
        let spans_out = self.flusher.spans.as_ref().is_none_or(|spans| spans.shutdown(for_spans));
        let lines_out = self.flusher.lines.close(deadline.saturating_duration_since(Instant::now()));
        spans_out && lines_out
    }

    /// Has the metrics describe everything and tell of telemetry itself; the recorder must be in place.
    fn tell(&self, version: &str) {
        self.metrics.describe(version);
        // A local recorder is in place only now, so the handles are made now.
        let handles = Handles::new();
        let (spans, lines) = (self.flusher.spans.clone(), Arc::clone(&self.flusher.lines));
        self.metrics.on_scrape(Box::new(move || {
            handles.set(spans.as_ref().map(Spans::account).unwrap_or_default(), lines.account());
        }));
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.take_down(LAST_RESORT);
    }
}

impl Flusher {
    /// Exports the spans and writes the lines until now; `false` if that takes longer than `wait`.
    pub fn flush(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        // Lines first: they are quick, and tell what happened even where no collector listens.
        let lines_out = self.flush_lines(wait);
        let rest = deadline.saturating_duration_since(Instant::now());
        self.spans.as_ref().is_none_or(|spans| spans.flush(rest)) && lines_out
    }

    /// The same for lines alone.
    pub fn flush_lines(&self, wait: Duration) -> bool {
        self.lines.flush(wait)
    }
}

/// The metrics of telemetry itself.
struct Handles {
    ended: ::metrics::Counter,
    exported: ::metrics::Counter,
    failed: ::metrics::Counter,
    dropped: ::metrics::Counter,
    queued: ::metrics::Gauge,
    written: ::metrics::Counter,
    lines_dropped: ::metrics::Counter,
}

impl Handles {
    fn new() -> Self {
        counter!(names::LATE_PARENTS).increment(0);
        let spans = |outcome: &'static str| counter!(names::SPANS, names::LABEL_OUTCOME => outcome);
        let lines = |outcome: &'static str| counter!(names::LOG_LINES, names::LABEL_OUTCOME => outcome);
        Self {
            ended: counter!(names::SPANS_ENDED),
            exported: spans("exported"),
            failed: spans("failed"),
            dropped: spans("dropped"),
            queued: gauge!(names::SPANS_QUEUED),
            written: lines("written"),
            lines_dropped: lines("dropped"),
        }
    }

    fn set(&self, spans: Account, (written, dropped): (u64, u64)) {
        self.ended.absolute(spans.ended);
        self.exported.absolute(spans.exported);
        self.failed.absolute(spans.failed);
        self.dropped.absolute(spans.dropped);
        self.queued.set(spans.queued as f64);
        self.written.absolute(written);
        self.lines_dropped.absolute(dropped);
    }
}
