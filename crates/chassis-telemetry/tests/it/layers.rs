//! The HTTP layers under an axum router, as far as no whole service shows it.

use crate::support::{Kept, LONG, Lines, scoped};
use axum::{Router, body::Body, extract::ConnectInfo, response::Response, routing::get};
use chassis_telemetry::{
    Service, Setup, TraceContext,
    http::{metrics_layer, trace_layer},
    propagation,
};
use http::{HeaderMap, Request};
use parking_lot::Mutex;
use std::{net::SocketAddr, sync::Arc};
use tower::{ServiceBuilder, ServiceExt as _};

/// Runs the calls with telemetry of their own, and returns the spans.
fn run(calls: impl AsyncFnOnce()) -> Kept {
    let kept = Kept::default();
    let setup = Setup { baggage: &["tenant"], ..Setup::new(Service::new("a-service", "1")) };
    let environment =
        [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://unused"), ("OTEL_PROPAGATORS", "tracecontext,baggage")];
    let scoped = scoped(&setup, &environment, &Lines::default(), &kept);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    {
        let _entered = scoped.enter();
        runtime.block_on(calls());
    }
    assert!(scoped.telemetry.shutdown(LONG));
    kept
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

async fn ask(router: Router, peer: [u8; 4], headers: &[(&str, &str)]) -> Response {
    let request = headers
        .iter()
        .fold(Request::builder().uri("/outgoing"), |request, (name, value)| request.header(*name, *value));
    let request = request.extension(ConnectInfo(SocketAddr::from((peer, 1)))).body(Body::empty());
    router.oneshot(request.unwrap()).await.unwrap()
}

#[test]
fn a_stranger_decides_neither_on_sampling_nor_on_baggage() {
    let parent = TraceContext::new_root();
    let unsampled = format!("{}00", parent.to_string().trim_end_matches("01"));
    let headers = [("traceparent", &*unsampled), ("baggage", "tenant=x,secret=canary")];
    let kept = run(async || {
        for (peer, sampled) in [([127, 0, 0, 1], "00"), ([198, 51, 100, 1], "01")] {
            let layers =
                ServiceBuilder::new().layer(trace_layer(|peer| peer.is_loopback())).layer(metrics_layer());
            let router = Router::new().route("/outgoing", get(outgoing)).layer(layers);
            let answer = ask(router, peer, &headers).await;
            let header = |name| answer.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(header("sent-traceparent"), header("traceparent"));
            assert!(header("sent-traceparent").unwrap().ends_with(sampled), "{peer:?}");
            assert!(header("sent-traceparent").unwrap().contains(&parent.trace_id()));
            // Without `init`, as here, no key is allow-listed: what is allowed is tested where that is set.
            assert_eq!(header("sent-baggage"), None);
        }
    });
    assert_eq!(kept.0.lock().iter().filter(|span| span.name == "GET /outgoing").count(), 1);
}

#[test]
fn a_forks_own_layer_sees_every_request_between_span_and_handler() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sees = Arc::clone(&seen);
    let kept = run(async || {
        let layer = tower::layer::layer_fn(move |inner| {
            let sees = Arc::clone(&sees);
            tower::util::MapRequest::new(inner, move |request: Request<Body>| {
                sees.lock().push((request.uri().path().to_owned(), TraceContext::current()));
                request
            })
        });
        let layers = ServiceBuilder::new().layer(trace_layer(|_| true)).layer(metrics_layer()).layer(layer);
        ask(Router::new().route("/outgoing", get(outgoing)).layer(layers), [127, 0, 0, 1], &[]).await;
    });
    let span = kept.named("GET /outgoing").span_context.span_id().to_string();
    let (path, context) = seen.lock().pop().unwrap();
    assert_eq!((path.as_str(), context.unwrap().span_id()), ("/outgoing", span));
}
