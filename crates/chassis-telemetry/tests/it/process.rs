//! What holds for a whole process: each scene runs in one of its own, beside a collector in this one.

use std::{
    net::TcpListener,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{account, metric, objects};
use chassis_telemetry::{Exposition, LogConfig, LogFormat, Service, Setup, TraceContext, propagation};
use chassis_test::{Behaviour, Collector, spans::hex};
use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    baggage::BaggageExt as _,
    trace::{TraceContextExt as _, Tracer as _},
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use tonic::Code;
use tracing::{error, info, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const WITHIN: Duration = Duration::from_secs(2);
const SPANS: u64 = 50;

/// Logs while it is formatted, as a value may.
struct Chatty;

impl std::fmt::Debug for Chatty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        info!("from inside");
        f.write_str("chatty")
    }
}

/// The process of a scene: works, shuts down, and prints its metrics.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn scene() {
    let setup = Setup {
        log: LogConfig { format: LogFormat::Auto },
        line_targets: &["it"],
        baggage: &["tenant"],
        ..Setup::new(Service::new("a-service", "1.2.3"))
    };
    let telemetry = chassis_telemetry::init(setup.clone()).unwrap();
    let metrics = telemetry.metrics().clone();
    info!("started");
    for number in 1..SPANS {
        let span = info_span!("op", attempt = number, value = ?Chatty);
        span.in_scope(|| info!(number, text = ?Chatty, "inside"));
    }
    // A library that knows OpenTelemetry alone, and a panic in a span.
    opentelemetry::global::tracer("library").in_span("by the api", |_| ());
    let panicking = info_span!("panicking");
    let thread = std::thread::Builder::new().spawn(move || panicking.in_scope(|| panic!("canary")));
    assert!(thread.unwrap().join().is_err());
    propagate();
    assert!(chassis_telemetry::init(setup).is_err());
    error!("at the end");
    let begun = Instant::now();
    let clean = telemetry.shutdown(WITHIN);
    let took = begun.elapsed();
    info!("too late");
    eprintln!("clean={clean} took_ms={}\n{}", took.as_millis(), metrics.render(Exposition::Text));
}

/// The propagator that `init` set is everybody's.
fn propagate() {
    let mut headers = HeaderMap::new();
    headers.insert("baggage", "tenant=x,secret=canary".parse().unwrap());
    TraceContext::new_root().inject(&mut headers);
    let context = propagation::extract(&headers);
    assert_eq!(context.baggage().get("tenant").map(opentelemetry::StringValue::as_str), Some("x"));
    assert!(context.baggage().get("secret").is_none());
    let of_library = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&opentelemetry_http::HeaderExtractor(&headers))
    });
    assert_eq!(of_library.span().span_context(), context.span().span_context());
    let span = info_span!("op");
    span.set_parent(context.with_baggage([KeyValue::new("tenant", "y"), KeyValue::new("other", "canary")]))
        .unwrap();
    let mut sent = HeaderMap::new();
    span.in_scope(|| propagation::inject(&mut sent));
    assert_eq!(sent["baggage"], "tenant=y");
    assert_eq!(
        TraceContext::from_headers(&sent).map(|trace| trace.trace_id()),
        TraceContext::from_headers(&headers).map(|trace| trace.trace_id())
    );
}

fn run(settings: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["process::scene", "--exact", "--ignored", "--nocapture"]).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    let output = command.envs(settings.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

struct Played {
    lines: Vec<serde_json::Value>,
    metrics: String,
    took: Duration,
    clean: bool,
}

fn play(settings: &[(&str, &str)]) -> Played {
    let output = run(settings);
    let (stdout, metrics) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(!stdout.contains("canary") && !metrics.contains("canary"), "{stdout}{metrics}");
    let told =
        |name: &str| metrics.split([' ', '\n']).find_map(|word| word.strip_prefix(name)).unwrap().to_owned();
    let (took, clean) = (Duration::from_millis(told("took_ms=").parse().unwrap()), told("clean=") == "true");
    Played { lines: objects(&stdout), metrics, took, clean }
}

/// A collector, and a scene whose spans go to it.
fn play_with(behaviour: Behaviour, settings: &[(&str, &str)]) -> (Collector, Played) {
    let collector = Collector::start(behaviour);
    let played = play(&[&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint())], settings].concat());
    (collector, played)
}

/// Spans of a scene: `op`, one by the API, one that panics, one that propagates, and the process's own.
const ALL: u64 = SPANS + 3;

#[test]
fn every_span_and_every_line_arrives_and_is_counted() {
    let (collector, played) = play_with(Behaviour::Accept, &[]);
    assert!(played.clean);
    assert_eq!(account(&played.metrics), (ALL, [ALL, 0, 0, 0]));
    assert_eq!(collector.spans().len() as u64, ALL);
    assert!(collector.spans().iter().any(|span| span.name == "by the api"));
    let lines = ["written", "dropped"]
        .map(|of| metric(&played.metrics, &format!("telemetry_log_lines_total{{outcome=\"{of}\"}}")));
    assert_eq!(lines, [played.lines.len() as u64, 1], "one was too late");
    let named = |message: &'static str| played.lines.iter().filter(move |line| line["message"] == message);
    assert_eq!(named("inside").count() as u64, SPANS - 1);
    assert_eq!(named("from inside").count() as u64, 2 * (SPANS - 1));
    // Each line names a span that was exported.
    let spans: Vec<_> = collector
        .spans()
        .iter()
        .map(|span| (hex(&span.trace_id), hex(&span.span_id), span.name.clone()))
        .collect();
    for line in &played.lines {
        let (trace, span) = (line["trace_id"].as_str().unwrap(), line["span_id"].as_str().unwrap());
        let of = spans.iter().find(|(t, s, _)| (t.as_str(), s.as_str()) == (trace, span));
        let name = &of.unwrap_or_else(|| panic!("{line} names no span")).2;
        match line["message"].as_str().unwrap() {
            "panicked" => assert_eq!((name.as_str(), &line["level"]), ("panicking", &"ERROR".into())),
            "started" | "at the end" => assert_eq!(name, "start"),
            _ => {}
        }
    }
    assert_eq!(named("panicked").count(), 1);
}

#[test]
fn spans_that_the_collector_refuses_are_failed_to_the_unit() {
    let (_, played) = play_with(Behaviour::Fail(usize::MAX, Code::InvalidArgument), &[]);
    assert!(!played.clean);
    assert_eq!(account(&played.metrics), (ALL, [0, ALL, 0, 0]));
    assert_eq!(played.lines.iter().filter(|line| line["message"] == "spans cannot be exported").count(), 1);

    let once = [("OTEL_BSP_SCHEDULE_DELAY", "60000")];
    let (_, played) = play_with(Behaviour::Reject(7), &[&once[..], &[("RUST_LOG", "error")]].concat());
    assert_eq!(
        account(&played.metrics),
        (ALL, [ALL - 7, 7, 0, 0]),
        "a partial success, whatever RUST_LOG says"
    );
}

#[test]
fn a_collector_that_never_answers_delays_no_shutdown_and_nothing_is_uncounted() {
    let (_, played) = play_with(Behaviour::Slow(Duration::from_secs(3600)), &[]);
    assert!(!played.clean && played.took < WITHIN + Duration::from_secs(1), "{:?}", played.took);
    let (ended, [exported, failed, dropped, queued]) = account(&played.metrics);
    assert_eq!((ended, exported, queued), (ALL, 0, 0));
    assert_eq!(failed + dropped, ALL);

    // One that takes connections and says nothing, and one that is not there.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    for (endpoint, protocol) in [
        (silent.as_str(), "grpc"),
        (&silent, "http/protobuf"),
        ("http://127.0.0.1:9", "gRPC"),
        ("http://127.0.0.1:9", "HTTP/protobuf"),
    ] {
        let played =
            play(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)]);
        assert!(played.took < WITHIN + Duration::from_secs(1), "{protocol} {:?}", played.took);
        let (ended, outcomes) = account(&played.metrics);
        assert_eq!((ended, outcomes[0], outcomes.iter().sum()), (ALL, 0, ALL), "{protocol}");
    }
}

#[test]
fn what_a_collector_refuses_in_part_is_counted_over_http_as_well() {
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: String::new() });
    let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let called = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let calls = Arc::clone(&called);
    let router = axum::Router::new().fallback(async move |uri: http::Uri| {
        calls.lock().push(uri.to_string());
        ([("content-type", "application/x-protobuf")], body)
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}/?tenant=a", listener.local_addr().unwrap());
    runtime.spawn(async { axum::serve(listener, router).await });
    let over_http = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
    let played = play(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), over_http]);
    assert_eq!(account(&played.metrics), (ALL, [ALL - 3, 3, 0, 0]));
    // The exporter joins base and path as texts: a base with a query needs the endpoint of traces alone.
    assert_eq!(*called.lock(), ["/?tenant=a/v1/traces"]);
}
