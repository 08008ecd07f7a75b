//! The usual stack: the accept call with the telemetry that most services have, every crate as it comes, and nothing
//! stored. Two spans and two lines a request, as in the service.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request as HttpRequest, Response as HttpResponse};
use opentelemetry_otlp::WithHttpConfig as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tokio::runtime::Handle;
use tower_http::trace::TraceLayer;
use tracing::{Span, field::Empty, info, info_span, instrument};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::{fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::Result;
use crate::bench::ROUTE;
use crate::servers::{self, Accepted, Notification, next_id};

/// What has to live as long as the process.
pub struct Telemetry {
    lines_dropped: ErrorCounter,
    _writer: WorkerGuard,
    _provider: SdkTracerProvider,
}

/// Only the buffers are larger than the crates' own, so that no span or line is dropped at the bench's load.
///
/// # Errors
/// When the exporter can't be built.
pub fn telemetry() -> Result<Telemetry> {
    let (writer, guard) =
        NonBlockingBuilder::default().buffered_lines_limit(1_000_000).finish(std::io::stdout());
    let lines_dropped = writer.error_counter();
    let client = OnRuntime(Handle::current(), reqwest::Client::new());
    let exporter =
        opentelemetry_otlp::SpanExporter::builder().with_http().with_http_client(client).build()?;
    let config = BatchConfigBuilder::default().with_max_queue_size(262_144).with_max_export_batch_size(4096);
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config.build()).build();
    let provider = SdkTracerProvider::builder()
        .with_resource(Resource::builder().with_service_name("usual").build())
        .with_span_processor(processor)
        .build();
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("usual")))
        .with(fmt::layer().json().with_writer(writer))
        .try_init()?;
    Ok(Telemetry { lines_dropped, _writer: guard, _provider: provider })
}

/// Sends from the runtime, which the thread of the SDK's batch processor is not part of.
#[derive(Debug)]
struct OnRuntime(Handle, reqwest::Client);

#[tonic::async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(
        &self,
        spans: HttpRequest<Bytes>,
    ) -> std::result::Result<HttpResponse<Bytes>, HttpError> {
        let client = self.1.clone();
        self.0.spawn(async move { client.send_bytes(spans).await }).await?
    }
}

/// The accept call, and `/account`: how many were accepted, and how many lines were dropped.
pub fn router(telemetry: &Telemetry) -> Router {
    let dropped = telemetry.lines_dropped.clone();
    let account = move || {
        let dropped = dropped.clone();
        async move { format!("{} {}", servers::accepted(), dropped.dropped_lines()) }
    };
    Router::new()
        .route(ROUTE, post(send_sms))
        .layer(TraceLayer::new_for_http().make_span_with(make_span).on_response(on_response))
        .route("/account", get(account))
}

fn make_span(request: &Request) -> Span {
    let route = request.extensions().get().map_or("", MatchedPath::as_str);
    info_span!("http", otel.kind = "server", otel.name = %format_args!("{} {route}", request.method()),
        http.request.method = request.method().as_str(), http.route = route, url.scheme = "http",
        http.response.status_code = Empty)
}

fn on_response(response: &Response<Body>, latency: Duration, span: &Span) {
    let status = i64::from(response.status().as_u16());
    span.record("http.response.status_code", status);
    info!(status, duration_ms = latency.as_secs_f64() * 1e3, "request");
}

async fn send_sms(Json(sms): Json<Notification>) -> axum::response::Response {
    match sms.is_valid() {
        true => (StatusCode::ACCEPTED, Json(accept().await)).into_response(),
        false => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
    }
}

#[instrument(name = "send notifications", skip_all, fields(otel.kind = "producer", messaging.system = "epro",
    messaging.destination.name = "notifications", messaging.message.id = Empty))]
async fn accept() -> Accepted {
    let id = next_id();
    Span::current().record("messaging.message.id", &*id);
    info!(
        notification_id = &*id,
        channel = "sms",
        priority = "normal",
        client = "bench",
        "notification accepted"
    );
    Accepted { id, status: "accepted" }
}
