//! The bench's own servers, each run in a process of its own: what the service is compared with, a gateway that
//! delivers at once, and sinks for spans. None of them stores anything.

use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use axum::{Json, Router};
use epro_notify::proto::epro::epro_service_server::EproServiceServer;
use http_body_util::{BodyExt as _, Full};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Server, server::TcpIncoming};

use crate::bench::ROUTE;
use crate::{Result, calls, layered, otlp, usual};

/// The names that [`run`] knows.
pub const BARE: &str = "bare";
/// The same handler with the usual telemetry, see [`usual`].
pub const USUAL: &str = "usual";
/// The same handler under some of the service's layers, see [`layered`].
pub const LAYERED: &str = "layered";
pub const GATEWAY: &str = "gateway";
/// Counts the spans that it is sent.
pub const SINK: &str = "sink";
/// A gRPC service that answers each read with the same report.
pub const BARE_GRPC: &str = "bare-grpc";

/// Runs one server until the process is ended.
///
/// # Errors
/// For an unknown name; of the socket.
pub fn run(arguments: &[&str]) -> Result<()> {
    let single = || Builder::new_current_thread().enable_all().build();
    let multi = || Builder::new_multi_thread().enable_all().build();
    match arguments {
        // As the service: as many workers as cores.
        [BARE] => serve(&multi()?, bare()),
        [USUAL] => {
            let runtime = multi()?;
            let telemetry = runtime.block_on(async { usual::telemetry() })?;
            serve(&runtime, usual::router(&telemetry))
        }
        [LAYERED, upto] => layered::run(upto),
        [GATEWAY] => serve(&single()?, Router::new().fallback(deliver)),
        [SINK] => {
            let router = Router::new().route("/spans", get(spans)).fallback(take);
            serve(&single()?, router.layer(DefaultBodyLimit::disable()))
        }
        [BARE_GRPC] => bare_grpc(&multi()?),
        _ => Err(format!("no server is called {arguments:?}").into()),
    }
}

fn bare_grpc(runtime: &Runtime) -> Result<()> {
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let service = EproServiceServer::new(calls::Bare);
        Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
    })
}

fn serve(runtime: &Runtime, router: Router) -> Result<()> {
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?);
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, router).await?)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notification {
    patient_id: String,
    message: String,
}

impl Notification {
    pub fn is_valid(&self) -> bool {
        !self.patient_id.is_empty() && !self.message.is_empty()
    }
}

#[derive(Serialize)]
pub struct Accepted {
    pub id: String,
    pub status: &'static str,
}

static ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// The id of what is accepted next.
pub fn next_id() -> String {
    format!("{:032x}", ACCEPTED.fetch_add(1, Relaxed))
}

/// How many ids there have been.
pub fn accepted() -> u64 {
    ACCEPTED.load(Relaxed)
}

/// The least that a handler of the accept call can do: parse the body, and answer with an id.
pub fn bare() -> Router {
    Router::new().route(ROUTE, post(accept))
}

pub async fn accept(Json(notification): Json<Notification>) -> Response {
    match notification.is_valid() {
        true => (StatusCode::ACCEPTED, Json(Accepted { id: next_id(), status: "accepted" })).into_response(),
        false => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
    }
}

/// A gateway that takes everything at once.
async fn deliver(_body: Bytes) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    (StatusCode::OK, [kind], r#"{"messageId":"m"}"#).into_response()
}

static SPANS: AtomicU64 = AtomicU64::new(0);

async fn spans() -> String {
    SPANS.load(Relaxed).to_string()
}

/// Takes spans over HTTP, or as a gRPC call, whose message has a head of five bytes; the answer is an empty message.
async fn take(headers: HeaderMap, body: Bytes) -> Response {
    let is_grpc = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/grpc");
    let request = body.get(if is_grpc { 5 } else { 0 }..).unwrap_or_default();
    SPANS.fetch_add(otlp::spans(request), Relaxed);
    if !is_grpc {
        return StatusCode::OK.into_response();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let answer =
        Full::new(Bytes::from_static(&[0; 5])).with_trailers(ready(Some(Ok::<_, Infallible>(trailers))));
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))], Body::new(answer))
        .into_response()
}
