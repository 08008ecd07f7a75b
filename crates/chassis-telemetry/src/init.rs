//! Putting the parts together, and taking them down: each span and line out before the process ends.

use std::os::fd::AsFd as _;
use std::panic::{self, PanicHookInfo};
use std::time::{Duration, Instant};
use std::{fs::File, io, sync::Arc, sync::OnceLock};

use chassis_metrics::{BuildError, MetricsRecorder};
use metrics::{counter, gauge};
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry::{InstrumentationScope, SpanId, TraceId};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanExporter};
use reqwest::redirect::Policy;
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::{Registry, layer::SubscriberExt as _};

use crate::catalogue::{self, Metric};
use crate::lines::{LineLayer, LineWriter};
use crate::{LogConfig, LogFilter, LogFormat, Metrics, TraceContext, attributes::AllowList, bridge};
use crate::{Tap, buffer::Account, propagation::Propagator, spans::Spans};
use crate::{environment::Environment, filter::Gate, tap::Ended};

/// How long the last resort waits: something went wrong already.
const LAST_RESORT: Duration = Duration::from_millis(500);
/// Lines are shorter to write than spans to export, and the last to go.
const LINES_SHARE: Duration = Duration::from_millis(250);
/// The version of OpenTelemetry's semantic conventions that the attribute names follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

/// The version of the chassis: what `build_info` and `/version` name as `platform_version`.
pub const PLATFORM_VERSION: &str = env!("CARGO_PKG_VERSION");

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

    fn show(&self) {
        gauge!("build_info", "version" => self.version, "platform_version" => PLATFORM_VERSION,
            "commit" => self.commit, "rustc" => self.rustc)
        .set(1.0);
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
    /// Sees spans and lines beside the collector, and without one.
    pub tap: Option<Arc<dyn Tap>>,
}

impl Setup {
    /// Nothing beyond the defaults.
    pub fn new(service: Service) -> Self {
        let (log, metrics, tap) = (LogConfig { format: LogFormat::Auto }, Vec::new(), None);
        Self { service, log, safe_attributes: &[], line_targets: &[], baggage: &[], metrics, tap }
    }
}

/// Why telemetry cannot start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("a thread or the standard output cannot be used: {0}")]
    Io(#[from] io::Error),
    #[error("the metrics cannot be set up: {0}")]
    Metrics(#[from] BuildError),
    /// The exporter's own text repeats the address, which may hold a password.
    #[error("spans cannot be exported: an address, a header or a file of OTEL_EXPORTER_OTLP_* is not valid")]
    Exporter,
    #[error("telemetry was set up before")]
    Installed,
}

/// The process's telemetry. Dropped without [`Self::shutdown`] it flushes as a last resort.
pub struct Telemetry {
    metrics: Metrics,
    filter: LogFilter,
    process: TraceContext,
    spans: Option<Spans>,
    lines: LineWriter,
}

/// Installs logs, traces and metrics for the whole process, and the panic hook. Settings come from `OTEL_*` and
/// `RUST_LOG`; what is not understood of them is ignored with a WARN line.
///
/// # Errors
/// A thread cannot be started, the standard output cannot be used, or telemetry was set up before.
pub fn init(setup: Setup) -> Result<Telemetry, InitError> {
    if dispatcher::has_been_set() {
        return Err(InitError::Installed);
    }
    // Written to directly: Rust's own standard output would search each piece for line ends again.
    let output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let scoped = Scoped::new(&setup, &|name| std::env::var(name).ok(), Box::new(output), exporter)?;
    let Scoped { telemetry, dispatch, recorder, provider, propagator } = scoped;
    metrics::set_global_recorder(recorder).map_err(|_| InitError::Installed)?;
    dispatcher::set_global_default(dispatch).map_err(|_| InitError::Installed)?;
    opentelemetry::global::set_tracer_provider(provider);
    propagator.install();
    // The payload is left out: it can hold any value.
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        tracing::error!(location = info.location().map(tracing::field::display), "panicked");
    }));
    telemetry.metrics.keep_up()?;
    Ok(telemetry)
}

/// What an exemplar names: the current span where it is sampled.
fn exemplar() -> Option<(TraceId, SpanId)> {
    let TraceContext { trace_id, span_id, .. } = TraceContext::current().filter(TraceContext::sampled)?;
    Some((trace_id, span_id))
}

fn exporter(http: bool) -> Result<opentelemetry_otlp::SpanExporter, InitError> {
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let built = if http {
        // A redirect would carry the headers, which may hold secrets, to an address that nobody configured.
        let client = reqwest::Client::builder().redirect(Policy::none()).build();
        let builder = builder.with_http().with_http_client(client.map_err(|_| InitError::Exporter)?);
        builder.with_protocol(Protocol::HttpBinary).build()
    } else {
        builder.with_tonic().build()
    };
    built.map_err(|_| InitError::Exporter)
}

/// Telemetry that is installed nowhere, for tests: [`Self::enter`] makes it the current thread's.
pub struct Scoped {
    pub telemetry: Telemetry,
    dispatch: Dispatch,
    recorder: MetricsRecorder,
    provider: SdkTracerProvider,
    propagator: Propagator,
}

impl Scoped {
    /// Reads its variables through `environment` and writes lines to `output`. Where the variables name an endpoint,
    /// spans go to the exporter that `make` makes, for HTTP or else gRPC.
    ///
    /// # Errors
    /// As [`init`].
    pub fn new<E: SpanExporter + 'static>(
        setup: &Setup,
        environment: &dyn Fn(&str) -> Option<String>,
        output: Box<dyn io::Write + Send>,
        make: impl Fn(bool) -> Result<E, InitError>,
    ) -> Result<Self, InitError> {
        let mut environment = Environment { get: environment, warnings: Vec::new() };
        let (sampling, propagator) = (environment.sampling(), environment.propagator(setup.baggage));
        let (resource, service) = environment.resource(setup.service);
        let catalogues = [&[catalogue::METRICS], setup.metrics.as_slice()].concat();
        let (metrics, recorder) = Metrics::new(&catalogues, exemplar)?;
        let (lines, rejected) = (LineWriter::start(output)?, Arc::default());
        let started = environment.export().map(|export| {
            Spans::start(export, AllowList::new(setup.safe_attributes), Arc::clone(&rejected), || {
                let mut exporter = make(export.http)?;
                exporter.set_resource(&resource);
                Ok(exporter)
            })
        });
        // The service is worth more than its spans.
        let spans = started.transpose().unwrap_or_else(|error: InitError| {
            environment.warnings.push(error.to_string());
            None
        });
        let mut provider =
            SdkTracerProvider::builder().with_sampler(sampling.sampler()).with_resource(resource);
        if spans.is_some() || setup.tap.is_some() {
            let allowed = AllowList::new(setup.safe_attributes);
            provider = provider.with_span_processor(Ended(setup.tap.clone(), allowed, spans.clone()));
        }
        let provider = provider.build();
        let scope = InstrumentationScope::builder(env!("CARGO_PKG_NAME")).with_schema_url(SCHEMA_URL);
        let tracer = provider.tracer_with_scope(scope.build());
        // The root of the process's own trace. It ends here, so that the trace can be looked up while the process runs.
        let mut start = tracer.start("start");
        start.end();
        let process = TraceContext::of(start.span_context()).unwrap_or_else(TraceContext::new_root);
        let filter = LogFilter::new(setup.line_targets);
        let (pretty, version) = (setup.log.format.is_pretty(), setup.service.version);
        let (writer, tap, dispatch) = (lines.clone(), setup.tap.clone(), OnceLock::new());
        // The bridge comes before the lines: a value that logs while its line is written would undo the bridge's filter.
        // The gate is asked first, so that a refused event costs nothing.
        let subscriber = Registry::default()
            .with(bridge::layer(tracer))
            .with(LineLayer { pretty, service, version, process, writer, tap, rejected, dispatch })
            .with(Gate { filter: filter.clone(), sampling });
        let dispatch = Dispatch::new(subscriber);
        let telemetry = Telemetry { metrics, filter, process, spans, lines };
        metrics::with_local_recorder(&recorder, || {
            telemetry.metrics.begin(&catalogues);
            setup.service.show();
            telemetry.count_itself();
            let text = environment.text("RUST_LOG").unwrap_or_default();
            dispatcher::with_default(&dispatch, || telemetry.filter.begin(&text, &environment.warnings));
        });
        Ok(Self { telemetry, dispatch, recorder, provider, propagator })
    }

    /// Makes it the current thread's until both guards are dropped.
    pub fn enter(&self) -> (dispatcher::DefaultGuard, metrics::LocalRecorderGuard<'_>) {
        (dispatcher::set_default(&self.dispatch), metrics::set_default_local_recorder(&self.recorder))
    }
}

impl Telemetry {
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The filter on log lines.
    pub fn filter(&self) -> &LogFilter {
        &self.filter
    }

    /// The process's own trace, which lines outside any span name: the parent for spans of its start and stop.
    pub fn process(&self) -> TraceContext {
        self.process
    }

    /// Exports the spans and writes the lines until now, and ends both; what does not go out `within` that time is
    /// dropped. `false` if anything was. Blocks: not for a runtime's worker. Has nothing left to do a second time.
    pub fn shutdown(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let for_spans = within.saturating_sub(LINES_SHARE.min(within / 4));
        let spans_out = self.spans.as_ref().is_none_or(|spans| spans.shutdown(for_spans));
        self.lines.close(deadline.saturating_duration_since(Instant::now())) && spans_out
    }

    /// Sets the metrics of telemetry itself before each rendering.
    fn count_itself(&self) {
        let (spans, lines) = (self.spans.clone(), self.lines.clone());
        self.metrics.on_scrape(move || {
            let Account { pushed, sent, failed, dropped, queued } =
                spans.as_ref().map(Spans::account).unwrap_or_default();
            counter!("telemetry_spans_ended_total").absolute(pushed);
            gauge!("telemetry_spans_queued").set(queued as f64);
            for (outcome, count) in [("exported", sent), ("failed", failed), ("dropped", dropped)] {
                counter!("telemetry_spans_total", "outcome" => outcome).absolute(count);
            }
            let (written, dropped) = lines.account();
            for (outcome, count) in [("written", written), ("dropped", dropped)] {
                counter!("telemetry_log_lines_total", "outcome" => outcome).absolute(count);
            }
        });
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.shutdown(LAST_RESORT);
    }
}
