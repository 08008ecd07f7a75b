//! Layers for gRPC servers, on the same tower stack as HTTP: [`trace_layer`] opens the SERVER span, [`MetricsLayer`]
//! inside it measures until the status is known, in the trailers as a rule.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use ::http::Request;
use axum::body::Body;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::Code;
use tower::Layer;
use tower_http::trace::MakeSpan;
use tracing::{Span, field::Empty, info, info_span};

use crate::{
    measure::{self, Begin, InFlight, Kind, Measured, SpanLayer, continue_caller, span_layer},
    names,
};

/// Which side of a call measures it: a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

/// The code's name as in metrics, lines and spans: `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    names::GRPC_CODES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

/// Whether a server's span is an error with this code (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>).
pub fn is_server_error(code: Code) -> bool {
    use Code::{DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown};
    matches!(code, Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss)
}

/// `grpc_request_duration_seconds` of one method's calls.
pub struct Durations {
    service: String,
    method: String,
    side: Side,
    by_code: measure::Durations<&'static str>,
}

impl Durations {
    /// Both names come from our own descriptors, never from a caller.
    pub fn new(service: &str, method: &str, side: Side) -> Self {
        Self { service: service.to_owned(), method: method.to_owned(), side, by_code: Default::default() }
    }

    /// Records how long a call took.
    pub fn record(&self, code: Code, seconds: f64) {
        let side = if self.side == Side::Server { "server" } else { "client" };
        self.by_code.record(code_name(code), seconds, |code| {
            metrics::histogram!(names::GRPC_REQUEST_DURATION, names::LABEL_GRPC_SERVICE => self.service.clone(),
                names::LABEL_GRPC_METHOD => self.method.clone(), names::LABEL_GRPC_CODE => *code,
                names::LABEL_SIDE => side)
        });
    }
}

/// The methods that a server serves: only their names become labels. Cheap to clone.
#[derive(Clone)]
pub struct Methods {
    /// By path, `/package.Service/Method`.
    known: Arc<HashMap<String, Arc<Endpoint>>>,
    unmatched: Arc<Endpoint>,
}

pub(crate) struct Endpoint {
    /// `package.Service/Method`, or `_OTHER`.
    full: String,
    durations: Durations,
}

impl Methods {
    /// Those of encoded file descriptor sets, as reflection takes them. A set that cannot be read has none.
    pub fn from_descriptors<'a>(sets: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let endpoint = |full: &str, service: &str, method: &str| {
            Arc::new(Endpoint {
                full: full.to_owned(),
                durations: Durations::new(service, method, Side::Server),
            })
        };
        let mut known = HashMap::new();
        for file in
            sets.into_iter().filter_map(|set| FileDescriptorSet::decode(set).ok()).flat_map(|set| set.file)
        {
            for service in &file.service {
                let name = format!("{}.{}", file.package(), service.name());
                let name = name.trim_start_matches('.');
                for method in &service.method {
                    let full = format!("{name}/{}", method.name());
                    known.insert(format!("/{full}"), endpoint(&full, name, method.name()));
                }
            }
        }
        Self { known: Arc::new(known), unmatched: endpoint("_OTHER", "unmatched", "unmatched") }
    }

    fn of<B>(&self, request: &Request<B>) -> &Arc<Endpoint> {
        self.known.get(request.uri().path()).unwrap_or(&self.unmatched)
    }
}

/// tower-http's `TraceLayer` with a SERVER span by OpenTelemetry's conventions, continued from the caller's as in
/// [`crate::http::trace_layer`].
pub fn trace_layer(
    methods: Methods,
    trusts: impl Fn(IpAddr) -> bool + Clone,
) -> SpanLayer<impl MakeSpan<Body> + Clone> {
    span_layer(move |request: &Request<Body>| {
        let span = methods.of(request).span();
        continue_caller(&span, request, &trusts);
        span
    })
}

/// Measures every call to its status, puts the status on the span, writes its line `call`, and puts `traceparent` on
/// its response. Belongs inside [`trace_layer`].
#[derive(Clone)]
pub struct MetricsLayer(Methods);

impl MetricsLayer {
    pub fn new(methods: Methods) -> Self {
        Self(methods)
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Measured<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Measured { inner, layer: self.clone() }
    }
}

impl Begin for MetricsLayer {
    fn begin<B>(&self, request: &Request<B>) -> InFlight {
        let endpoint = Arc::clone(self.0.of(request));
        let span = if endpoint.is_quiet() { Span::none() } else { Span::current() };
        InFlight::new(span, Kind::Grpc(endpoint))
    }
}

impl Endpoint {
    /// Health checks and reflection are measured, but have no span and no line.
    fn is_quiet(&self) -> bool {
        self.full.starts_with("grpc.")
    }

    fn span(&self) -> Span {
        if self.is_quiet() {
            return Span::none();
        }
        info_span!(
            "call",
            otel.kind = "server",
            otel.name = self.full,
            rpc.system.name = "grpc",
            rpc.method = self.full,
            rpc.response.status_code = Empty,
            otel.status_code = Empty,
            error.type = Empty,
            user.name = Empty,
        )
    }

    pub fn tell(&self, of: &InFlight, code: Code, seconds: f64) {
        let (grpc_code, Durations { service, method, .. }) = (code_name(code), &self.durations);
        of.span.record(names::RPC_RESPONSE_STATUS_CODE, grpc_code);
        if is_server_error(code) {
            of.span.record(names::OTEL_STATUS_CODE, "ERROR");
            of.span.record(names::ERROR_TYPE, grpc_code);
        }
        self.durations.record(code, seconds);
        if !self.is_quiet() {
            let (id, key) = (of.id(), of.key());
            info!(
                grpc_service = service,
                grpc_method = method,
                grpc_code,
                duration_ms = seconds * 1000.0,
                id,
                key,
                "call"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name() {
        for (number, expected) in names::GRPC_CODES.iter().enumerate() {
            let code = Code::from_i32(i32::try_from(number).unwrap());
            // Tonic's own words for it, in another spelling.
            let spelled = format!("{code:?}").to_uppercase();
            assert_eq!((code_name(code), &*spelled), (*expected, &*expected.replace('_', "")));
        }
    }

    #[test]
    fn a_callers_own_fault_is_no_error_of_the_server() {
        for code in [Code::Ok, Code::Cancelled, Code::NotFound, Code::ResourceExhausted] {
            assert!(!is_server_error(code));
        }
        assert!(is_server_error(Code::Unavailable) && is_server_error(Code::DeadlineExceeded));
    }
}
