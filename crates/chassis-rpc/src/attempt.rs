//! One attempt of a call: sent, awaited to its status in the trailers, measured and traced.

use crate::{
    channel::Inner,
    endpoints::Chosen,
    load,
    method::{MethodState, code_name},
    outcome::{Failed, of_http},
};
use chassis_resilience::Permit;
use chassis_telemetry::{SpanExt, TraceContext, names};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tonic::{Code, Status, body::Body, transport};
use tower::ServiceExt;
use tracing::{Instrument, Span, field::Empty, info_span};

/// The longest answer to a unary call; generated clients take 4 MiB by default.
const ANSWER_MAX: usize = 16 << 20;

pub(crate) struct Attempt<'a> {
    pub method: &'a MethodState,
    /// From 1.
    pub number: u32,
    /// The span of the attempt before.
    pub previous: Option<TraceContext>,
    /// How long it may take.
    pub left: Duration,
    /// Whether running out of time is the service's fault.
    pub fair: bool,
}

impl Attempt<'_> {
    /// Makes the attempt, and returns the trace context of its span with the answer.
    pub async fn make(
        &self,
        mut request: Request<Body>,
        inner: &Inner,
        chosen: Option<Chosen>,
        permit: &mut Permit,
    ) -> (Option<TraceContext>, Result<Response<Body>, Failed>) {
        let record = Record::begin(self);
        let context = record.span.trace_context();
        if let Some(context) = context {
            context.inject(request.headers_mut());
        }
        let Some(Chosen { endpoint, channel, flight }) = chosen else {
            record.end(Code::Unavailable);
            return (context, Err(Failed::nobody()));
        };
        record.endpoint(endpoint.address.as_str());
        let exchange = exchange(channel, request, self.fair).instrument(record.span.clone());
        let answer = timeout(self.left, permit.watch(exchange)).await;
        let answer = answer.unwrap_or_else(|_| Err(Failed::late(self.fair)));
        flight.end(answer.as_ref().map_or_else(Failed::load, |_| load::Outcome::Answered));
        if let Err(failed) = &answer {
            inner.suspect(failed, &endpoint);
        }
        record.end(answer.as_ref().map_or_else(|failed| failed.status.code(), |_| Code::Ok));
        (context, answer)
    }
}

/// Sends the request and reads the whole answer, so that the status in its trailers is known.
async fn exchange(
    channel: transport::Channel,
    request: Request<Body>,
    fair: bool,
) -> Result<Response<Body>, Failed> {
    let answer = channel.oneshot(request).await.map_err(|error| Failed::transport(&error, fair))?;
    let (head, body) = answer.into_parts();
    if let Some(status) = Status::from_header_map(&head.headers).filter(|status| status.code() != Code::Ok) {
        return Err(Failed::answered(status, fair));
    }
    if head.status != StatusCode::OK {
        return Err(Failed::answered(of_http(head.status), fair));
    }
    let body = match Limited::new(body, ANSWER_MAX).collect().await {
        Ok(body) => body,
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(Failed::answered(Status::out_of_range("the answer is too long"), fair));
        }
        Err(error) => return Err(Failed::transport(&*error, fair)),
    };
    match body.trailers().and_then(Status::from_header_map) {
        Some(status) if status.code() != Code::Ok => Err(Failed::answered(status, fair)),
        _ => Ok(Response::from_parts(head, Body::new(body))),
    }
}

/// The span and the latency of an attempt, recorded however it ends.
struct Record<'a> {
    method: &'a MethodState,
    span: Span,
    started: Instant,
    ended: bool,
}

impl<'a> Record<'a> {
    fn begin(attempt: &Attempt<'a>) -> Self {
        let span = span(&attempt.method.full, attempt.number);
        if let Some(previous) = attempt.previous {
            span.link_to(previous);
        }
        Self { method: attempt.method, span, started: Instant::now(), ended: false }
    }

    fn endpoint(&self, address: &str) {
        if let Some((host, port)) = address.rsplit_once(':') {
            self.span.record(names::SERVER_ADDRESS, host.trim_matches(['[', ']']));
            self.span.record(names::SERVER_PORT, port.parse::<u16>().ok());
        }
    }

    fn end(mut self, code: Code) {
        self.end_once(code);
    }

    fn end_once(&mut self, code: Code) {
        self.ended = true;
        let name = code_name(code);
        self.span.record(names::RPC_RESPONSE_STATUS_CODE, name);
        if code != Code::Ok {
            self.span.record(names::OTEL_STATUS_CODE, "ERROR");
            self.span.record(names::ERROR_TYPE, name);
        }
        // Inside the span, so that the histogram gets an exemplar.
        self.span.in_scope(|| self.method.took(code, self.started.elapsed()));
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // The caller left.
            self.end_once(Code::Cancelled);
        }
    }
}

/// The CLIENT span (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>).
fn span(method: &str, number: u32) -> Span {
    info_span!(
        "rpc",
        otel.kind = "client",
        otel.name = method,
        rpc.system.name = "grpc",
        rpc.method = method,
        rpc.response.status_code = Empty,
        server.address = Empty,
        server.port = Empty,
        attempt = number,
        otel.status_code = Empty,
        error.type = Empty,
    )
}
