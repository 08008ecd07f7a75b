//! The bench's own servers, each run in a process of its own: the bare handler that everything is compared
//! with, a gateway that delivers at once, and a sink for spans. None of them stores anything.

use std::convert::Infallible;
use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use http_body_util::{BodyExt, Full};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::{Result, calls};
use epro_notify::{
    app, config::Config, platform::config::Sources, proto::epro::epro_service_server::EproServiceServer,
};
use tonic::transport::{Server, server::TcpIncoming};

/// The names that [`run`] knows.
pub const BARE: &str = "bare";
pub const GATEWAY: &str = "gateway";
pub const SINK: &str = "sink";
/// A sink that takes its time.
pub const SLOW_SINK: &str = "slow-sink";
/// A sink over HTTP that takes nothing.
pub const SINK_503: &str = "sink-503";
/// A gRPC service that answers each read with the same report.
pub const BARE_GRPC: &str = "bare-grpc";
/// The service itself, without asking who calls and how much they may.
pub const UNGUARDED: &str = "unguarded";

/// Runs one server until the process is ended.
///
/// # Errors
/// For an unknown name; of the socket.
pub fn run(name: &str) -> Result<()> {
    let single = || Builder::new_current_thread().enable_all().build();
    match name {
        // As the service's public runtime: as many workers as cores.
        BARE => serve(&Builder::new_multi_thread().enable_all().build()?, bare()),
        GATEWAY => serve(&single()?, Router::new().fallback(deliver)),
        SINK => serve(&single()?, Router::new().fallback(discard)),
        SLOW_SINK => serve(&single()?, Router::new().fallback(discard_slowly)),
        SINK_503 => {
            serve(&single()?, Router::new().fallback(async |_: Bytes| StatusCode::SERVICE_UNAVAILABLE))
        }
        BARE_GRPC => bare_grpc(),
        UNGUARDED => unguarded(),
        _ => Err(format!("no server is called {name}").into()),
    }
}

fn unguarded() -> Result<()> {
    let environment = std::env::vars_os().collect();
    let (config, _) = Config::load(Sources { file: None, environment, command_line: Vec::new() })?;
    app::run_unguarded(config);
    Ok(())
}

fn bare_grpc() -> Result<()> {
    Builder::new_multi_thread().enable_all().build()?.block_on(async {
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
struct Notification {
    patient_id: String,
    message: String,
}

#[derive(Serialize)]
struct Accepted {
    id: String,
    status: &'static str,
}

/// The least that a handler of the accept call can do: parse the body, and answer with an id.
fn bare() -> Router {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let accept = async |body: Bytes| match serde_json::from_slice::<Notification>(&body) {
        Ok(it) if !it.patient_id.is_empty() && !it.message.is_empty() => {
            let id = format!("{:032x}", LAST.fetch_add(1, Ordering::Relaxed));
            json(StatusCode::ACCEPTED, serde_json::to_vec(&Accepted { id, status: "accepted" }))
        }
        _ => StatusCode::BAD_REQUEST.into_response(),
    };
    Router::new().route("/api/v1/notifications/sms/async", post(accept))
}

fn json(status: StatusCode, body: serde_json::Result<Vec<u8>>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match body {
        Ok(body) => (status, [kind], body).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A gateway that takes everything at once.
async fn deliver(_body: Bytes) -> Response {
    json(StatusCode::OK, Ok(br#"{"messageId":"m"}"#.to_vec()))
}

async fn discard_slowly(body: Body) -> Response {
    sleep(Duration::from_secs(2)).await;
    discard(body).await
}

/// Takes any gRPC call, reads it away and answers with an empty message: five zero bytes, then the trailers.
async fn discard(mut body: Body) -> Response {
    while let Some(Ok(_)) = body.frame().await {}
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let answer =
        Full::new(Bytes::from_static(&[0; 5])).with_trailers(ready(Some(Ok::<_, Infallible>(trailers))));
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"))], Body::new(answer))
        .into_response()
}
