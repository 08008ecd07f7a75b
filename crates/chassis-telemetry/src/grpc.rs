//! Layers for gRPC servers, on the same tower stack as HTTP: [`trace_layer`] opens the SERVER span, [`metrics_layer`]
//! inside it measures until the status is known, in the trailers as a rule.

use std::{collections::HashSet, net::IpAddr};

use axum::{body::Body, extract::Request};
use metrics::{Gauge, Histogram};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tower_http::trace::MakeSpan;
use tracing::{Span, field::Empty, info_span};

use crate::measure::{self, SpanLayer, Target, is_quiet, span_layer};
use crate::{Begin, Observe, names};

/// Measures a client's call in `grpc_request_duration_seconds`. Both names come from descriptors, never from a caller.
pub fn record_client(service: &str, method: &str, code: Code, seconds: f64) {
    histogram(service, method, code, "client").record(seconds);
}

pub(crate) fn histogram(service: &str, method: &str, code: Code, side: &'static str) -> Histogram {
    metrics::histogram!("grpc_request_duration_seconds", "grpc_service" => service.to_owned(),
        names::LABEL_GRPC_METHOD => method.to_owned(), "grpc_code" => code_name(code), "side" => side)
}

/// The code's name as in metrics, lines and spans: `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    names::GRPC_CODES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

/// The methods that a server serves, as `package.Service/Method`: only their names become labels. Kept for the life of
/// the process, and cheap to clone.
#[derive(Clone)]
pub struct Methods(&'static HashSet<String>);

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
        Self(Box::leak(Box::new(methods)))
    }

    /// The known method, or `_OTHER`, as the conventions name one that is not.
    fn of(&self, request: &Request) -> &'static str {
        self.0.get(request.uri().path().trim_start_matches('/')).map_or("_OTHER", String::as_str)
    }

    pub(crate) fn target(&self, request: &Request) -> Target {
        self.of(request).split_once('/').unwrap_or(("unmatched", "unmatched"))
    }
}

/// tower-http's `TraceLayer` with a SERVER span by OpenTelemetry's conventions, continued from the caller's as in
/// [`crate::http::trace_layer`].
pub fn trace_layer(
    methods: Methods,
    trusts: impl Fn(IpAddr) -> bool + Clone,
) -> SpanLayer<impl MakeSpan<Body> + Clone> {
    let open = move |request: &Request| match methods.of(request) {
        method if is_quiet(method) => Span::none(),
        method => info_span!("call", otel.kind = "server", otel.name = method, rpc.system.name = "grpc",
            rpc.method = method, rpc.response.status_code = Empty, otel.status_code = Empty, error.type = Empty,
            user.name = Empty),
    };
    span_layer(open, trusts)
}

/// Measures `grpc_request_duration_seconds`, and writes the line `call`.
pub fn metrics_layer(methods: Methods) -> Observe<impl Begin> {
    measure::metrics_layer(Some(methods), Gauge::noop())
}
