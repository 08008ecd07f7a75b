//! Putting the parts together, and taking them down: each span and line out before the process ends.

use std::{
    io,
    os::fd::AsFd as _,
    panic::{self, PanicHookInfo},
    sync::{Arc, atomic::AtomicU64},
    thread,
    time::{Duration, Instant},
};

use ::metrics::{counter, gauge};
use opentelemetry::{
    InstrumentationScope,
    trace::{Span as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_otlp::WithExportConfig as _;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use tracing::Dispatch;
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::{
    LogConfig, LogFilter, LogFormat, Metrics, TraceContext,
    attributes::AllowList,
    bridge,
    catalogue::Metric,
    environment,
    environment::Environment,
    filter::Gate,
    lines::{LineLayer, LineWriter, Output},
    metrics::MetricsRecorder,
    names,
    spans::{Account, Spans, Work},
};

/// How long the last resort waits: something went wrong already.
const LAST_RESORT: Duration = Duration::from_millis(500);
/// Lines are shorter to write than spans to export, and the last to go.
const LINES_SHARE: Duration = Duration::from_millis(250);
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// The program that lines, spans and `build_info` name.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub name: &'static str,
    pub version: &'static str,
    pub commit: &'static str,
    pub rustc: &'static str,
}

impl Service {
    /// A program whose commit and compiler are unknown.
    pub const fn new(name: &'static str, version: &'static str) -> Self {
        Self { name, version, commit: "unknown", rustc: "unknown" }
    }
}

/// Everything that a service decides about its telemetry. The rest are `OTEL_*` and `RUST_LOG`.
#[derive(Clone, Debug)]
pub struct Setup {
    pub service: Service,
    pub log: LogConfig,
    /// Attribute keys that are exported besides [`crate::attributes::SAFE`], for spans of libraries as well.
    pub safe_attributes: &'static [&'static str],
    /// Crates or modules whose lines below WARN are written. The chassis crates are, always.
    pub line_targets: &'static [&'static str],
    /// Baggage keys that pass, from trusted callers and to others.
    pub baggage: &'static [&'static str],
    /// Help texts, units and buckets. This crate's own are added.
    pub metrics: Vec<&'static [Metric]>,
}

impl Setup {
    /// Nothing beyond the defaults.
    pub fn new(service: Service) -> Self {
        let log = LogConfig { format: LogFormat::Auto };
        Self { service, log, safe_attributes: &[], line_targets: &[], baggage: &[], metrics: Vec::new() }
    }
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("a thread or the standard output cannot be used: {0}")]
    Io(#[from] io::Error),
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("spans cannot be exported as OTEL_EXPORTER_OTLP_* say: {0}")]
    Exporter(String),
    #[error("telemetry was set up before")]
    Installed,
}

/// The process's telemetry. Dropped without [`Self::shutdown`] it flushes as a last resort.
pub struct Telemetry {
    metrics: Metrics,
    filter: LogFilter,
    warnings: Vec<String>,
    process: TraceContext,
    flusher: Flusher,
    down: bool,
}

/// Brings spans and lines out at once, for ways out of the process that do not pass the shutdown. Cheap to clone.
#[derive(Clone)]
pub struct Flusher {
    spans: Option<Spans>,
    lines: Arc<LineWriter>,
}

/// Installs logs, traces and metrics for the whole process, and the panic hook. Settings come from `OTEL_*` and
/// `RUST_LOG`; what is not understood of them is ignored with a WARN line.
///
/// # Errors
/// A thread or the exporter cannot be started, or telemetry was set up before.
pub fn init(setup: Setup) -> Result<Telemetry, InitError> {
    // Written to directly: Rust's own standard output would search each piece for line ends again.
    let output = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let environment = Environment::read(setup.service, setup.baggage);
    let (propagators, first_filter) = (environment.propagators.clone(), environment.filter.clone());
    let Assembled { mut telemetry, dispatch, recorder, provider } =
        assemble(&setup, environment, Box::new(output), exporter)?;
    ::metrics::set_global_recorder(recorder).map_err(|_| InitError::Installed)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| InitError::Installed)?;
    propagators.install();
    opentelemetry::global::set_tracer_provider(provider);
    panic::set_hook(Box::new(report_panic));
    telemetry.begin(&setup, &first_filter);
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

/// Telemetry that is installed nowhere, for tests: [`Self::enter`] makes it the current thread's.
pub struct Scoped {
    pub telemetry: Telemetry,
    pub dispatch: Dispatch,
    recorder: MetricsRecorder,
}

impl Scoped {
    /// Lines go to `output` and spans, if it is there, to `exporter`; the variables are those of `environment`.
    ///
    /// # Errors
    /// As [`init`].
    pub fn new<E: SpanExporter + Clone + 'static>(
        setup: &Setup,
        environment: &[(&str, &str)],
        output: Box<dyn io::Write + Send>,
        exporter: Option<E>,
    ) -> Result<Self, InitError> {
        let get = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let mut environment = Environment::from(&get, setup.service, setup.baggage);
        environment.export = exporter.as_ref().map(|_| environment.export.unwrap_or_default());
        let first_filter = environment.filter.clone();
        let make = move |_| exporter.clone().ok_or_else(String::new);
        let Assembled { telemetry, dispatch, recorder, .. } = assemble(setup, environment, output, make)?;
        let mut scoped = Self { telemetry, dispatch, recorder };
        let begin = || scoped.telemetry.begin(setup, &first_filter);
        ::metrics::with_local_recorder(&scoped.recorder, || {
            tracing::dispatcher::with_default(&scoped.dispatch, begin)
        });
        Ok(scoped)
    }

    /// Makes it the current thread's until the guard is dropped.
    pub fn enter(&self) -> Entered<'_> {
        let recorder = ::metrics::set_default_local_recorder(&self.recorder);
        Entered { _dispatch: tracing::dispatcher::set_default(&self.dispatch), _recorder: recorder }
    }
}

/// While it lives, its [`Scoped`] telemetry is the current thread's.
#[must_use]
pub struct Entered<'a> {
    _dispatch: tracing::dispatcher::DefaultGuard,
    _recorder: ::metrics::LocalRecorderGuard<'a>,
}

struct Assembled {
    telemetry: Telemetry,
    dispatch: Dispatch,
    recorder: MetricsRecorder,
    provider: SdkTracerProvider,
}

fn assemble<E: SpanExporter + 'static>(
    setup: &Setup,
    environment: Environment,
    output: Output,
    make: impl Fn(environment::Protocol) -> Result<E, String> + Send + 'static,
) -> Result<Assembled, InitError> {
    let Environment { sampling, export, resource, service_name, warnings, .. } = environment;
    let (metrics, recorder) = Metrics::new(&setup.catalogues())?;
    let lines = LineWriter::start(output)?;
    let rejected = Arc::<AtomicU64>::default();
    let mut provider =
        SdkTracerProvider::builder().with_resource(resource.clone()).with_sampler(sampling.sampler());
    let mut spans = None;
    if let Some(export) = export {
        let allowed = AllowList::new(setup.safe_attributes);
        let work = Work { export, resource, allowed, rejected: Arc::clone(&rejected) };
        let (started, processor) =
            Spans::start(work, move || make(export.protocol)).map_err(InitError::Exporter)?;
        provider = provider.with_span_processor(processor);
        spans = Some(started);
    }
    let provider = provider.build();
    let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
        .with_version(env!("CARGO_PKG_VERSION"))
        .with_schema_url(names::SCHEMA_URL);
    let tracer = provider.tracer_with_scope(scope.build());
    // The root of the process's own trace. It ends here, so that the trace can be looked up while the process runs.
    let mut start = tracer.start("start");
    start.end();
    let process = TraceContext::of(start.span_context()).unwrap_or_else(TraceContext::new_root);
    let filter = LogFilter::new(setup.line_targets);
    let service = (service_name.as_str(), setup.service.version);
    // The bridge is the outermost: below another layer its filter would have each refused event looked at again.
    let subscriber = Registry::default()
        .with(Gate::new(filter.clone(), sampling))
        .with(LineLayer::new(setup.log.format, service, process, Arc::clone(&lines), rejected))
        .with(bridge::layer(tracer));
    let flusher = Flusher { spans, lines };
    let telemetry = Telemetry { metrics, filter, warnings, process, flusher, down: false };
    Ok(Assembled { telemetry, dispatch: Dispatch::new(subscriber), recorder, provider })
}

impl Setup {
    fn catalogues(&self) -> Vec<&'static [Metric]> {
        let others =
            self.metrics.iter().copied().filter(|other| !std::ptr::eq(*other, crate::catalogue::METRICS));
        std::iter::once(crate::catalogue::METRICS).chain(others).collect()
    }
}

fn exporter(protocol: environment::Protocol) -> Result<opentelemetry_otlp::SpanExporter, String> {
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let built = match protocol {
        environment::Protocol::Grpc => builder.with_tonic().build(),
        environment::Protocol::HttpProtobuf => {
            builder.with_http().with_protocol(opentelemetry_otlp::Protocol::HttpBinary).build()
        }
    };
    // An address may hold a password.
    built.map_err(|error| Some(error.to_string()).filter(|text| !text.contains('@')).unwrap_or_default())
}

impl Telemetry {
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The filter on log lines.
    pub fn filter(&self) -> &LogFilter {
        &self.filter
    }

    /// What was ignored of `OTEL_*` and `RUST_LOG`; each was written as a WARN line.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The process's own trace, which lines outside any span name: the parent for spans of its start and stop.
    pub fn process(&self) -> TraceContext {
        self.process
    }

    /// For ways out of the process that do not pass [`Self::shutdown`].
    pub fn flusher(&self) -> Flusher {
        self.flusher.clone()
    }

    /// Exports the spans and writes the lines until now, and ends both; what does not go out `within` that time is
    /// dropped. `false` if anything was. Blocks: not for a runtime's worker.
    pub fn shutdown(mut self, within: Duration) -> bool {
        self.take_down(within)
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

    /// Sets the first metrics and filter; dispatcher and recorder must be in place.
    fn begin(&mut self, setup: &Setup, first_filter: &str) {
        self.metrics.begin(&setup.catalogues(), setup.service);
        let own = OwnMetrics::new();
        let Flusher { spans, lines } = self.flusher.clone();
        self.metrics.on_scrape(move || {
            own.set(spans.as_ref().map(Spans::account).unwrap_or_default(), lines.account())
        });
        let (filter, unknown) = self.filter.first(first_filter);
        self.warnings.extend(unknown);
        self.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        self.filter.apply(filter);
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

/// The panic as an ERROR line of the span it happens in. Its payload is left out: it can hold any value. An ERROR line
/// is written at once, so it is there even if the process ends with this panic.
fn report_panic(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(location, "panicked");
}

/// The metrics of telemetry itself.
struct OwnMetrics {
    ended: ::metrics::Counter,
    exported: ::metrics::Counter,
    failed: ::metrics::Counter,
    dropped: ::metrics::Counter,
    queued: ::metrics::Gauge,
    written: ::metrics::Counter,
    lines_dropped: ::metrics::Counter,
}

impl OwnMetrics {
    fn new() -> Self {
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
