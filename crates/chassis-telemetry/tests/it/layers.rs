//! The HTTP and gRPC layers under an axum router: spans, lines, metrics, exemplars.

use std::{net::SocketAddr, sync::Arc};

use crate::support::{Kept, LONG, Lines, scoped};
use axum::{
    Extension, Router,
    body::{Body, Bytes},
    extract::ConnectInfo,
    response::Response,
    routing::get,
};
use chassis_telemetry::{
    Exposition, LogConfig, LogFormat, Scoped, Service, Setup, TraceContext, grpc,
    http::{CallerKey, ResourceId, metrics_layer, trace_layer},
    propagation,
};
use http::{HeaderMap, Request, StatusCode, header::ACCEPT};
use http_body::Body as _;
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use opentelemetry::trace::{SpanKind, Status};
use prost::Message as _;
use tower::{ServiceBuilder, ServiceExt as _};

struct Stage {
    scoped: Scoped,
    lines: Lines,
    kept: Kept,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    fn new(environment: &[(&str, &str)]) -> Self {
        let (lines, kept) = (Lines::default(), Kept::default());
        let log = LogConfig { format: LogFormat::Json };
        let setup = Setup { log, baggage: &["tenant"], ..Setup::new(Service::new("a-service", "1")) };
        let environment = [&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://unused")], environment].concat();
        let scoped = scoped(&setup, &environment, &lines, &kept);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { scoped, lines, kept, runtime }
    }

    /// Runs the calls, and returns the metrics as they are then.
    fn run(self, calls: impl AsyncFnOnce()) -> (Lines, Kept, String, String) {
        let Self { scoped, lines, kept, runtime } = self;
        let (text, open) = {
            let _entered = scoped.enter();
            runtime.block_on(calls());
            let metrics = scoped.telemetry.metrics();
            (metrics.render(Exposition::Text), metrics.render(Exposition::OpenMetrics))
        };
        assert!(scoped.telemetry.shutdown(LONG));
        (lines, kept, text, open)
    }
}

fn http_routes() -> Router {
    let noted = async |Extension(key): Extension<CallerKey>| {
        key.set("portal".into());
        (Extension(ResourceId("id-1".into())), "noted")
    };
    Router::new()
        .route("/things/{id}", get(noted))
        .route("/broken", get(async || StatusCode::BAD_GATEWAY))
        .route("/never", get(async || std::future::pending::<()>().await))
        .route("/outgoing", get(outgoing))
        .layer(ServiceBuilder::new().layer(trace_layer(|peer| peer.is_loopback())).layer(metrics_layer()))
        .fallback(async || StatusCode::NOT_FOUND)
}

/// Answers with what another service would be sent.
async fn outgoing() -> HeaderMap {
    let mut sent = HeaderMap::new();
    propagation::inject(&mut sent);
    [("traceparent", "sent-traceparent"), ("baggage", "sent-baggage")]
        .into_iter()
        .filter_map(|(name, told)| Some((told.parse().unwrap(), sent.get(name)?.clone())))
        .collect()
}

fn request(path: &str, peer: [u8; 4], headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.extension(ConnectInfo(SocketAddr::from((peer, 1)))).body(Body::empty()).unwrap()
}

const TRUSTED: [u8; 4] = [127, 0, 0, 1];
const STRANGER: [u8; 4] = [198, 51, 100, 1];

#[test]
fn a_request_has_its_span_line_header_duration_and_exemplar() {
    let parent = TraceContext::new_root();
    let (lines, kept, text, open) = Stage::new(&[]).run(async || {
        let call = request("/things/canary?q=canary", TRUSTED, &[("traceparent", &parent.to_string())]);
        let answer = http_routes().oneshot(call).await.unwrap();
        let told = TraceContext::from_headers(answer.headers()).unwrap();
        assert_eq!(told.trace_id(), parent.trace_id());
        assert_ne!(told.span_id(), parent.span_id());
        assert_eq!(
            answer.body().size_hint().exact(),
            Some("noted".len() as u64),
            "so that it gets its length"
        );
        answer.into_body().collect().await.unwrap();
        http_routes().oneshot(request("/broken", STRANGER, &[])).await.unwrap();
    });
    let span = kept.named("GET /things/{id}");
    assert_eq!(span.span_kind, SpanKind::Server);
    assert_eq!(span.parent_span_id.to_string(), parent.span_id());
    let attributes: Vec<_> =
        span.attributes.iter().map(|at| (at.key.as_str(), at.value.to_string())).collect();
    for expected in [
        ("http.request.method", "GET"),
        ("http.route", "/things/{id}"),
        ("http.response.status_code", "200"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
    ] {
        assert!(attributes.contains(&(expected.0, expected.1.to_owned())), "{attributes:?}");
    }
    assert_eq!(kept.named("GET /broken").status, Status::error(""));
    let line = &lines.named("request")[0];
    assert_eq!(
        (line["trace_id"].as_str(), line["fields"]["route"].as_str()),
        (Some(&*parent.trace_id()), Some("/things/{id}"))
    );
    assert_eq!(line["span_id"], span.span_context.span_id().to_string());
    assert_eq!((&line["fields"]["id"], &line["fields"]["key"]), (&"id-1".into(), &"portal".into()));
    let series =
        "http_request_duration_seconds_count{method=\"GET\",route=\"/things/{id}\",status=\"200\"} 1";
    assert!(text.contains(series), "{text}");
    assert!(text.contains("http_requests_in_flight 0"));
    assert!(open.contains(&format!(
        "# {{trace_id=\"{}\",span_id=\"{}\"}}",
        parent.trace_id(),
        line["span_id"].as_str().unwrap()
    )));
    assert!(open.ends_with("# EOF\n"));
    assert!(!format!("{:?}{text}{open}{:?}", kept.0.lock(), lines.all()).contains("canary"));
}

#[test]
fn a_caller_that_leaves_is_told_as_499_and_an_unknown_method_as_other() {
    let (lines, kept, text, _) = Stage::new(&[]).run(async || {
        let never = http_routes().oneshot(request("/never", TRUSTED, &[]));
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), never).await.is_err());
        let mut odd = request("/things/1", TRUSTED, &[]);
        *odd.method_mut() = http::Method::from_bytes(b"CANARY").unwrap();
        http_routes().oneshot(odd).await.unwrap();
    });
    let line = &lines.named("request")[0];
    assert_eq!(line["fields"]["status"], 499);
    assert_eq!(line["span_id"], kept.named("GET /never").span_context.span_id().to_string());
    assert!(text.contains("{method=\"GET\",route=\"/never\",status=\"499\"} 1"), "{text}");
    assert!(text.contains("{method=\"OTHER\",route=\"/things/{id}\",status=\"405\"} 1"), "{text}");
    assert!(text.contains("http_requests_in_flight 0"));
    kept.named("HTTP");
}

#[test]
fn a_stranger_decides_neither_on_sampling_nor_on_baggage() {
    let parent = TraceContext::new_root();
    let unsampled = format!("{}00", parent.to_string().trim_end_matches("01"));
    let baggage = ("baggage", "tenant=x,secret=canary");
    let (_, kept, ..) = Stage::new(&[("OTEL_PROPAGATORS", "tracecontext,baggage")]).run(async || {
        for (peer, sampled, sent_baggage) in [(TRUSTED, "00", Some("tenant=x")), (STRANGER, "01", None)] {
            let call = request("/outgoing", peer, &[("traceparent", &unsampled), baggage]);
            let answer = http_routes().oneshot(call).await.unwrap();
            let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("sent-traceparent"), header("traceparent"));
            assert!(header("sent-traceparent").unwrap().ends_with(sampled), "{peer:?}");
            assert!(header("sent-traceparent").unwrap().contains(&parent.trace_id()));
            // Without `init`, as here, no key is allow-listed: what is allowed is tested where that is set.
            assert!(header("sent-baggage").is_none() || header("sent-baggage") == sent_baggage);
        }
    });
    assert_eq!(kept.0.lock().iter().filter(|span| span.name == "GET /outgoing").count(), 1);
}

/// A file descriptor set with one service.
fn descriptors() -> Vec<u8> {
    use prost_types::{
        FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto,
    };
    let method = MethodDescriptorProto { name: Some("Get".into()), ..Default::default() };
    let service = |name: &str| ServiceDescriptorProto {
        name: Some(name.into()),
        method: vec![method.clone()],
        ..Default::default()
    };
    let file = |package: &str, name: &str| FileDescriptorProto {
        package: Some(package.into()),
        service: vec![service(name)],
        ..Default::default()
    };
    FileDescriptorSet { file: vec![file("things.v1", "Things"), file("grpc.health.v1", "Health")] }
        .encode_to_vec()
}

/// A call's answer: a message, and the status in the trailers.
async fn answer() -> Response {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "14".parse().unwrap());
    let frames =
        [http_body::Frame::data(Bytes::from_static(b"message")), http_body::Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, axum::Error>)));
    Response::new(Body::new(BoxBody::new(body)))
}

fn grpc_routes() -> Router {
    let descriptors = descriptors();
    let methods = grpc::Methods::from_descriptors([&*descriptors]);
    let refused = async || [("grpc-status", "7")];
    Router::new()
        .route("/things.v1.Things/Get", get(answer))
        .route("/grpc.health.v1.Health/Get", get(answer))
        .fallback(refused)
        .layer(
            ServiceBuilder::new()
                .layer(grpc::trace_layer(methods.clone(), |_| true))
                .layer(grpc::metrics_layer(methods)),
        )
}

#[test]
fn a_call_is_measured_to_its_status_and_strange_methods_are_one() {
    let parent = TraceContext::new_root();
    let (lines, kept, text, _) = Stage::new(&[]).run(async || {
        let parent = parent.to_string();
        let call = |path: &str| grpc_routes().oneshot(request(path, TRUSTED, &[("traceparent", &parent)]));
        let answer = call("/things.v1.Things/Get").await.unwrap();
        assert!(answer.headers().contains_key("traceparent"));
        answer.into_body().collect().await.unwrap();
        // One whose caller leaves before the trailers.
        drop(call("/things.v1.Things/Get").await.unwrap());
        call("/grpc.health.v1.Health/Get").await.unwrap().into_body().collect().await.unwrap();
        call("/canary/canary").await.unwrap();
    });
    let span = kept.named("things.v1.Things/Get");
    assert_eq!((span.span_kind.clone(), span.status), (SpanKind::Server, Status::error("")));
    assert_eq!(span.parent_span_id.to_string(), parent.span_id());
    kept.named("_OTHER");
    assert_eq!(kept.0.lock().len(), 4, "start, two calls, a strange one; none for health");
    let told: Vec<_> = lines.named("call").iter().map(|line| line["fields"]["grpc_code"].clone()).collect();
    assert_eq!(told, ["UNAVAILABLE", "CANCELLED", "PERMISSION_DENIED"]);
    for series in [
        "{grpc_service=\"things.v1.Things\",grpc_method=\"Get\",grpc_code=\"UNAVAILABLE\",side=\"server\"} 1",
        "{grpc_service=\"grpc.health.v1.Health\",grpc_method=\"Get\",grpc_code=\"UNAVAILABLE\",side=\"server\"} 1",
        "{grpc_service=\"unmatched\",grpc_method=\"unmatched\",grpc_code=\"PERMISSION_DENIED\",side=\"server\"} 1",
    ] {
        assert!(
            text.contains(&format!("grpc_request_duration_seconds_count{series}")),
            "{series} is not in {text}"
        );
    }
    assert!(!format!("{:?}{text}{:?}", kept.0.lock(), lines.all()).contains("canary"));
}

#[test]
fn a_forks_own_layer_sees_every_request_between_span_and_handler() {
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let (_, kept, ..) = Stage::new(&[]).run(async || {
        let layer = tower::layer::layer_fn(move |inner| {
            let sees = Arc::clone(&sees);
            tower::util::MapRequest::new(inner, move |request: Request<Body>| {
                sees.lock().push((request.uri().path().to_owned(), TraceContext::current()));
                request
            })
        });
        let app = Router::new()
            .route("/own", get(async || "own"))
            .layer(ServiceBuilder::new().layer(trace_layer(|_| true)).layer(metrics_layer()).layer(layer));
        app.oneshot(request("/own", TRUSTED, &[(ACCEPT.as_str(), "*/*")])).await.unwrap();
    });
    let span = kept.named("GET /own").span_context.span_id().to_string();
    let (path, context) = seen.lock().pop().unwrap();
    assert_eq!((path.as_str(), context.unwrap().span_id()), ("/own", span));
}
