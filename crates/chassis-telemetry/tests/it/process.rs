//! What holds for a whole process: each scene runs in one of its own, beside a collector in this one.

use std::{
    net::TcpListener,
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{Collector, Does, account, objects};
use chassis_telemetry::{Exposition, LogConfig, LogFormat, Service, Setup, TraceContext, propagation};
use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    baggage::BaggageExt as _,
    trace::{TraceContextExt as _, Tracer as _},
};
use tokio::runtime::Runtime;
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
fn play_with(does: Does, settings: &[(&str, &str)]) -> (Collector, Played) {
    let runtime = Runtime::new().unwrap();
    let collector = runtime.block_on(Collector::start(does));
    let played = play(&[&[("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.endpoint())], settings].concat());
    // Calls that never end go down with it.
    runtime.shutdown_background();
    (collector, played)
}

/// Spans of a scene: `op`, one by the API, one that panics, one that propagates, and the process's own.
const ALL: u64 = SPANS + 3;

#[test]
fn every_span_and_every_line_arrives_and_is_counted() {
    let (collector, played) = play_with(Does::Takes, &[]);
    assert!(played.clean);
    assert_eq!(account(&played.metrics), (ALL, [ALL, 0, 0, 0]));
    assert_eq!(collector.spans().len() as u64, ALL);
    assert!(collector.spans().iter().any(|span| span.name == "by the api"));
    let written = crate::support::metric(&played.metrics, "telemetry_log_lines_total{outcome=\"written\"}");
    assert_eq!(written, played.lines.len() as u64);
    assert_eq!(
        crate::support::metric(&played.metrics, "telemetry_log_lines_total{outcome=\"dropped\"}"),
        1,
        "the one too late"
    );
    let named = |message: &'static str| played.lines.iter().filter(move |line| line["message"] == message);
    assert_eq!(named("inside").count() as u64, SPANS - 1);
    assert_eq!(named("from inside").count() as u64, 2 * (SPANS - 1));
    // Each line names a span that was exported.
    let id = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let spans: Vec<_> = collector
        .spans()
        .iter()
        .map(|span| (id(&span.trace_id), id(&span.span_id), span.name.clone()))
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
    let (_, played) = play_with(Does::Refuses, &[]);
    assert!(!played.clean);
    assert_eq!(account(&played.metrics), (ALL, [0, ALL, 0, 0]));
    assert_eq!(played.lines.iter().filter(|line| line["message"] == "spans cannot be exported").count(), 1);

    let once = [("OTEL_BSP_SCHEDULE_DELAY", "60000")];
    let (_, played) = play_with(Does::TakesAllBut(7), &[&once[..], &[("RUST_LOG", "error")]].concat());
    assert_eq!(
        account(&played.metrics),
        (ALL, [ALL - 7, 7, 0, 0]),
        "a partial success, whatever RUST_LOG says"
    );
}

#[test]
fn a_collector_that_never_answers_delays_no_shutdown_and_nothing_is_uncounted() {
    let (_, played) = play_with(Does::NeverAnswers, &[]);
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
fn a_full_queue_drops_and_counts() {
    let (collector, played) =
        play_with(Does::Takes, &[("OTEL_BSP_MAX_QUEUE_SIZE", "5"), ("OTEL_BSP_SCHEDULE_DELAY", "60000")]);
    let (ended, [exported, failed, dropped, queued]) = account(&played.metrics);
    assert_eq!((ended, failed, queued), (ALL, 0, 0));
    assert_eq!(exported + dropped, ALL);
    assert_eq!(collector.spans().len() as u64, exported);
}

#[test]
fn words_in_any_case_stop_nothing_and_two_service_names_are_one_for_lines_and_spans() {
    let two = "service.name=first,deployment.environment.name=test,service.name=second";
    let (collector, played) = play_with(
        Does::Takes,
        &[
            ("OTEL_RESOURCE_ATTRIBUTES", two),
            ("OTEL_TRACES_SAMPLER", "ALWAYS_ON"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "gRPC"),
            ("OTEL_SDK_DISABLED", "False"),
        ],
    );
    assert_eq!(account(&played.metrics).0, ALL);
    let resource = collector.resources().remove(0).resource.unwrap();
    let names: Vec<_> =
        resource.attributes.iter().filter(|attribute| attribute.key == "service.name").collect();
    assert_eq!(names.len(), 1);
    let name = format!("{:?}", names[0].value);
    assert!(played.lines.iter().all(|line| name.contains(line["service"].as_str().unwrap())), "{name}");
    assert!(resource.attributes.iter().any(|attribute| attribute.key == "deployment.environment.name"));

    let played =
        play(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9"), ("OTEL_SDK_DISABLED", "True")]);
    assert!(played.clean);
    assert_eq!(account(&played.metrics), (0, [0, 0, 0, 0]));
    assert!(played.lines.iter().all(|line| line["trace_id"].as_str().unwrap().len() == 32));
}

/// A collector over HTTP that answers each call as told, the first ones first; returns what was called.
fn play_over_http(
    answers: Vec<(u16, &'static str, Vec<u8>)>,
    path: &str,
    settings: &[(&str, &str)],
) -> (Vec<String>, Played) {
    let runtime = Runtime::new().unwrap();
    let called = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (calls, left) = (Arc::clone(&called), Arc::new(parking_lot::Mutex::new(answers.into_iter())));
    let router = axum::Router::new().fallback(async move |uri: http::Uri| {
        calls.lock().push(uri.to_string());
        let (status, retry_after, body) = left.lock().next().unwrap_or((200, "", Vec::new()));
        let builder =
            http::Response::builder().status(status).header("content-type", "application/x-protobuf");
        let builder =
            if retry_after.is_empty() { builder } else { builder.header("retry-after", retry_after) };
        builder.body(axum::body::Body::from(body)).unwrap()
    });
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}{path}", listener.local_addr().unwrap());
    runtime.spawn(async { axum::serve(listener, router).await });
    let own = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let played = play(&[&own, settings].concat());
    let called = called.lock().clone();
    (called, played)
}

#[test]
fn a_throttling_collector_costs_its_batch_and_neither_the_process_nor_the_account() {
    let batches = [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")];
    for (status, retry_after) in
        [(503, "9223372036854775807"), (429, "60"), (503, "Tue, 31 Dec 2999 23:59:59 GMT"), (429, "soon")]
    {
        let answers = vec![(status, retry_after, Vec::new())];
        let (called, played) = play_over_http(answers, "/base", &batches);
        let (ended, [exported, failed, ..]) = account(&played.metrics);
        assert_eq!((ended, exported + failed), (ALL, ALL), "{status} {retry_after}");
        // A time that cannot be waited for fails the batch; one that is not understood is tried again soon.
        assert_eq!(failed, if retry_after == "soon" { 0 } else { 10 }, "{status} {retry_after}");
        assert!(called.iter().all(|uri| uri == "/base/v1/traces"), "{called:?}");
    }
}

#[test]
fn what_a_collector_refuses_in_part_is_counted_over_http_as_well() {
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceResponse,
    };
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: String::new() });
    let body = prost::Message::encode_to_vec(&ExportTraceServiceResponse { partial_success });
    let (called, played) = play_over_http(vec![(200, "", body)], "/?tenant=a", &[]);
    assert_eq!(account(&played.metrics), (ALL, [ALL - 3, 3, 0, 0]));
    // The exporter joins base and path as texts: a base with a query needs the endpoint of traces alone.
    assert_eq!(called, ["/?tenant=a/v1/traces"]);
}
