//! Layers for gRPC servers, on the same tower stack as HTTP: [`trace_layer`] opens the SERVER span, [`MetricsLayer`]
//! inside it measures until the status is known, in the trailers as a rule.

use std::{collections::HashSet, net::IpAddr, sync::Arc};

use ::http::Request;
use axum::body::Body;
use metrics::{Gauge, Histogram};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tower_http::trace::MakeSpan;
use tracing::{Span, field::Empty, info_span};

use crate::measure::{Kind, Measure, SpanLayer, Target, is_quiet, span_layer};
use crate::names;

/// `grpc_request_duration_seconds` of one method's calls, for clients.
pub struct Durations {
    service: String,
    method: String,
    side: Side,
}

/// Which side of a call measures it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

impl Durations {
    /// Both names come from our own descriptors, never from a caller.
    pub fn new(service: &str, method: &str, side: Side) -> Self {
        Self { service: service.to_owned(), method: method.to_owned(), side }
    }

    /// Records how long a call took.
    pub fn record(&self, code: Code, seconds: f64) {
        histogram(&self.service, &self.method, code, self.side).record(seconds);
    }
}

pub(crate) fn histogram(service: &str, method: &str, code: Code, side: Side) -> Histogram {
    metrics::histogram!("grpc_request_duration_seconds", "grpc_service" => service.to_owned(),
        names::LABEL_GRPC_METHOD => method.to_owned(), "grpc_code" => code_name(code),
        "side" => if side == Side::Server { "server" } else { "client" })
}

/// The code's name as in metrics, lines and spans: `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    names::GRPC_CODES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

/// The methods that a server serves, as `package.Service/Method`: only their names become labels. Cheap to clone.
#[derive(Clone)]
pub struct Methods(Arc<HashSet<String>>);

impl Methods {
    /// Those of encoded file descriptor sets, as reflection takes them. A set that cannot be read has none.
    pub fn from_descriptors<'a>(sets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let files = sets.into_iter().flat_map(|set| FileDescriptorSet::decode(set).unwrap_or_default().file);
        let mut methods = HashSet::new();
        for file in files {
            for service in &file.service {
                let full = format!("{}.{}", file.package(), service.name());
                let names = service.method.iter().map(|method| format!("{full}/{}", method.name()));
                methods.extend(names.map(|name| name.trim_start_matches('.').to_owned()));
            }
        }
        Self(Arc::new(methods))
    }

    /// The known method, or `_OTHER`, as the conventions name one that is not.
    fn of<'a, B>(&self, request: &'a Request<B>) -> &'a str {
        let method = request.uri().path().trim_start_matches('/');
        if self.0.contains(method) { method } else { "_OTHER" }
    }
}

/// tower-http's `TraceLayer` with a SERVER span by OpenTelemetry's conventions, continued from the caller's as in
/// [`crate::http::trace_layer`].
pub fn trace_layer(
    methods: Methods,
    trusts: impl Fn(IpAddr) -> bool + Clone,
) -> SpanLayer<impl MakeSpan<Body> + Clone> {
    let open = move |request: &Request<Body>| match methods.of(request) {
        method if is_quiet(method) => Span::none(),
        method => info_span!("call", otel.kind = "server", otel.name = method, rpc.system.name = "grpc",
            rpc.method = method, rpc.response.status_code = Empty, otel.status_code = Empty, error.type = Empty,
            user.name = Empty),
    };
    span_layer(open, trusts)
}

/// `grpc_request_duration_seconds`, and the line `call`.
pub type MetricsLayer = Measure<Methods>;

impl MetricsLayer {
    pub fn new(methods: Methods) -> Self {
        Self { kind: methods, in_flight: Gauge::noop(), durations: Arc::default() }
    }
}

impl Kind for Methods {
    fn target<B>(&self, request: &Request<B>) -> Target {
        Target::Grpc { full: self.of(request).to_owned() }
    }
}
