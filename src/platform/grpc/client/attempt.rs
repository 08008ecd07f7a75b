//! One attempt of a call: what it carries, and the CLIENT span and the duration that tell of it, however it
//! ends. Whether there is another one is decided in `call`.

use super::{Channel, method::Method, outcome::Failed};
use crate::platform::{
    grpc::codes,
    resilience::breaker::Permit,
    telemetry::{SpanExt, TraceContext, names},
};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
};
use tracing::{Instrument, Span, field::Empty, info_span};

/// What an attempt is made with.
pub(super) struct Attempt<'a> {
    pub method: &'a Method,
    /// From 1.
    pub number: u32,
    /// The attempt before.
    pub previous: Option<TraceContext>,
    /// How long it may take.
    pub left: Duration,
    /// From when on it is slow.
    pub slow: Duration,
    pub key: Option<MetadataValue<Ascii>>,
}

impl Attempt<'_> {
    /// Makes it, and gives its span's context with what it came to.
    pub async fn make<Q, A, F, T>(
        self,
        permit: &mut Permit,
        channel: Channel,
        message: Q,
        attempt: &F,
    ) -> (Option<TraceContext>, Result<Response<A>, Failed>)
    where
        F: Fn(Channel, Request<Q>) -> T,
        T: Future<Output = Result<Response<A>, Status>>,
    {
        let (left, fair) = (self.left, self.left >= self.slow);
        let observed = Observed::begin(&self);
        let (span, context) = (observed.span.clone(), observed.context);
        let request = self.request(message, context);
        let answered = timeout(left, permit.watch(attempt(channel, request).instrument(span)));
        let result = match answered.await {
            Ok(answer) => answer.map_err(|status| Failed::new(status, fair)),
            Err(_) => Err(Failed::late(fair)),
        };
        observed.tell(result.as_ref().map_or_else(Failed::code, |_| Code::Ok));
        (context, result)
    }

    /// With the time that is left, who we are, and where it belongs in the trace.
    fn request<Q>(self, message: Q, context: Option<TraceContext>) -> Request<Q> {
        let mut request = Request::new(message);
        request.set_timeout(self.left);
        let metadata = request.metadata_mut();
        if let Some(key) = self.key {
            metadata.insert("authorization", key);
        }
        // Hex and dashes are always a value.
        if let Some(value) = context.and_then(|context| context.to_string().parse().ok()) {
            metadata.insert("traceparent", value);
        }
        request
    }
}

/// An attempt from its begin to its status, which comes with the trailers.
struct Observed<'a> {
    method: &'a Method,
    span: Span,
    context: Option<TraceContext>,
    begun: Instant,
    /// Whether [`Self::tell`] was called; what is dropped before that is a caller that left.
    told: bool,
}

impl<'a> Observed<'a> {
    fn begin(attempt: &Attempt<'a>) -> Self {
        let span = span(attempt.method, attempt.number);
        if let Some(previous) = attempt.previous {
            span.link_to(previous);
        }
        let context = span.trace_context();
        Self { method: attempt.method, span, context, begun: Instant::now(), told: false }
    }

    fn tell(mut self, code: Code) {
        self.tell_once(code);
    }

    fn tell_once(&mut self, code: Code) {
        self.told = true;
        let name = codes::name(code);
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, name);
        if code != Code::Ok {
            // To who called, any other code is an error, by the conventions.
            self.span.record(names::OTEL_STATUS_CODE, "ERROR");
            self.span.record(names::ERROR_TYPE, name);
        }
        // Inside the span: its ids go to the histogram as an exemplar.
        self.span.in_scope(|| self.method.took(code, self.begun.elapsed()));
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        if !self.told {
            self.tell_once(Code::Cancelled);
        }
    }
}

/// The CLIENT span (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>). The channel says which endpoint
/// it went to.
fn span(method: &Method, number: u32) -> Span {
    info_span!(
        "rpc",
        otel.kind = "client",
        otel.name = method.full.as_str(),
        rpc.system.name = "grpc",
        rpc.method = method.full.as_str(),
        rpc.response.status_code = Empty,
        server.address = Empty,
        server.port = Empty,
        attempt = number,
        otel.status_code = Empty,
        error.type = Empty,
    )
}
