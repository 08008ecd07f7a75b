//! The outermost layer: one span, one line and one histogram record for each call, however it ends, until
//! its status is known. What is answered is not decided here.

use super::{codes, endpoint::Endpoint};
use crate::platform::{
    auth::KeyName,
    http::{Peer, ResourceId},
    telemetry::{SpanExt, TraceContext, names},
};
use http::{HeaderMap, Request};
use std::{sync::Arc, time::Instant};
use tonic::{Code, Status};
use tracing::{Span, field::Empty, info, info_span};

/// A call from its first header to its status.
pub(super) struct Observed {
    endpoint: Arc<Endpoint>,
    span: Span,
    context: Option<TraceContext>,
    begun: Instant,
    key: Option<KeyName>,
    id: Option<ResourceId>,
    /// Whether [`Self::tell`] was called; what is dropped before that is a caller that left.
    told: bool,
}

impl Observed {
    pub fn begin<B>(endpoint: &Arc<Endpoint>, request: &Request<B>, peer: &Peer) -> Self {
        let span = if endpoint.needs.is_some() { span(endpoint) } else { Span::none() };
        if let Some(parent) = TraceContext::from_headers(request.headers()) {
            if peer.trusted { span.continue_from(parent) } else { span.continue_from_untrusted(parent) }
        }
        // Asked once here: it starts the span, so this comes after its parent is set.
        let context = span.trace_context();
        let endpoint = endpoint.clone();
        Self { endpoint, span, context, begun: Instant::now(), key: None, id: None, told: false }
    }

    /// The span that all work on the call runs in.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// When its first header had come.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// Remembers whose key was presented, for the line and the span.
    pub fn identified(&mut self, key: Option<KeyName>) {
        if let Some(key) = &key {
            self.span.record(names::USER_NAME, key.as_str());
        }
        self.key = key;
    }

    /// Takes from an answer's head what the line says of it, and puts the trace context on it.
    pub fn head<B>(&mut self, answer: &mut http::Response<B>) {
        self.id = answer.extensions_mut().remove::<ResourceId>();
        if let Some(context) = self.context {
            context.inject(answer.headers_mut());
        }
    }

    /// Tells of the call's end.
    pub fn tell(mut self, code: Code) {
        self.tell_once(code);
    }

    fn tell_once(&mut self, code: Code) {
        self.told = true;
        let (took, name) = (self.begun.elapsed(), codes::name(code));
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, name);
        if codes::is_server_error(code) {
            self.span.record(names::OTEL_STATUS_CODE, "ERROR");
            self.span.record(names::ERROR_TYPE, name);
        }
        let Endpoint { service, method, durations, needs, .. } = &*self.endpoint;
        // Inside the span: its ids go to the line and, as an exemplar, to the histogram.
        self.span.in_scope(|| {
            durations.record(code, took.as_secs_f64());
            if needs.is_some() {
                info!(
                    grpc_service = service,
                    grpc_method = method,
                    grpc_code = name,
                    duration_ms = took.as_secs_f64() * 1000.0,
                    id = self.id.as_ref().map(|ResourceId(id)| id.as_str()),
                    key = self.key.as_ref().map(KeyName::as_str),
                    "call"
                );
            }
        });
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.told {
            self.tell_once(Code::Cancelled);
        }
    }
}

/// The code that a head without an answer, or trailers, carry.
pub(super) fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(Status::GRPC_STATUS).map(|code| Code::from_bytes(code.as_bytes()))
}

/// The SERVER span (OpenTelemetry's conventions for gRPC; never a path that is not ours).
fn span(endpoint: &Endpoint) -> Span {
    info_span!(
        "call",
        otel.kind = "server",
        otel.name = endpoint.span.as_str(),
        rpc.system.name = "grpc",
        rpc.method = endpoint.full.as_str(),
        rpc.response.status_code = Empty,
        otel.status_code = Empty,
        error.type = Empty,
        user.name = Empty,
    )
}
