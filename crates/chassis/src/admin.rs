//! The admin listener: metrics, health and the operator's switches, on a thread and a runtime of its own, so that it
//! answers while the service's runtime is saturated.

use crate::{Failure, Health};
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, put},
};
use chassis_http::{
    Caller, Keys, LimitsConfig, Problem, Scope, ServerConfig, TlsConfig, host_check, identify, layers,
    require_key_to_change, server,
};
use chassis_telemetry::{Exposition, LogFilter, Metrics, PLATFORM_VERSION, Service, Telemetry};
use conf::Conf;
use serde_json::{Value, json};
use std::{net::SocketAddr, thread, time::Duration};
use tokio::{runtime::Builder, sync::oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::util::option_layer;
use tower_http::compression::CompressionLayer;
use tracing::Instrument as _;

/// Operators, probes and scrapers are few.
const MAX_CONNECTIONS: usize = 256;
/// The largest body, in bytes: a log filter.
const MAX_BODY: usize = 4096;
/// How long answers in hand may take once the service has ended.
const LAST_ANSWERS: Duration = Duration::from_millis(250);

/// The section `[admin]`.
#[derive(Conf, Clone, Debug)]
pub struct AdminConfig {
    /// Address of metrics, health and the operator's switches. On a non-loopback address every change needs a key
    /// with the scope `operate`.
    #[arg(env, default_value = "127.0.0.1:9464")]
    pub listen: SocketAddr,
    /// Whether `/debug/traces` shows recent traces with their log lines. If it is not set, it does on a loopback
    /// address alone.
    #[arg(env)]
    pub traces: Option<bool>,
    #[conf(flatten, env_prefix = "TLS__")]
    pub tls: TlsConfig,
}

/// What the admin listener shows and changes.
pub struct Pages {
    pub health: Health,
    pub keys: Keys,
    /// What `/version` shows, with the version of the chassis.
    pub service: Service,
    /// The service's own routes. All that is not GET needs the scope `operate` where other machines reach the
    /// listener.
    pub routes: Router,
}

/// The running admin listener. It stops with [`Self::stop`], or unawaited when this is dropped.
pub struct Admin {
    address: SocketAddr,
    stop: DropGuard,
    ended: oneshot::Receiver<()>,
}

impl Admin {
    /// Binds the listener and serves it from here on.
    ///
    /// # Errors
    /// The address cannot be bound, its certificate cannot be read, or there is no thread to be had.
    pub async fn start(config: &AdminConfig, pages: Pages, telemetry: &Telemetry) -> Result<Self, Failure> {
        // Rendering blocks: one thread for it is enough, and keeps probes from waiting.
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(2).build()?;
        let router = router(pages, telemetry, !config.listen.ip().to_canonical().is_loopback());
        let ((bound, address), (running, ended)) = (oneshot::channel(), oneshot::channel());
        let stop = CancellationToken::new();
        let served = serve(config.clone(), router, bound, stop.clone()).in_current_span();
        thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(served);
            // A page that is still being rendered has no reader any more.
            runtime.shutdown_background();
            drop(running);
        })?;
        Ok(Self { address: address.await??, stop: stop.drop_guard(), ended })
    }

    /// Where it listens: the real port where 0 was configured.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops listening and waits a fraction of a second for answers in hand: the last thing that a service does.
    pub async fn stop(self) {
        drop(self.stop);
        // Resolves with an error when the thread has ended.
        let _ = self.ended.await;
    }
}

/// Serves until `stop`; says first where, or why not.
async fn serve(
    config: AdminConfig,
    router: Router,
    bound: oneshot::Sender<Result<SocketAddr, Failure>>,
    stop: CancellationToken,
) {
    let listener = match server::bind("admin", config.listen, &config.tls).await {
        Ok(listener) => listener,
        Err(error) => return drop(bound.send(Err(error.into()))),
    };
    // Nobody waits for it if the start was cut short.
    let _ = bound.send(listener.address().map_err(Failure::from));
    let limits = ServerConfig { max_connections: MAX_CONNECTIONS, ..ServerConfig::default() };
    let last_answers = async {
        stop.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        () = server::serve(listener, router, &limits, stop.clone()) => {}
        () = last_answers => {}
    }
}

/// Probes and scrapes have no spans, lines or metrics of their own.
fn router(pages: Pages, telemetry: &Telemetry, guarded: bool) -> Router {
    let Pages { health, keys, service, routes } = pages;
    let metrics = get(render).layer(CompressionLayer::new()).with_state(telemetry.metrics().clone());
    let router = Router::new()
        .route("/livez", get("ok\n"))
        .route("/readyz", get(readyz).with_state(health))
        .route("/version", get(version).with_state(service))
        .route("/metrics", metrics)
        .route("/log-filter", put(set_log_filter).with_state(telemetry.filter().clone()))
        .merge(routes)
        .route_layer(layers::deadlines(&ServerConfig::default()))
        .fallback(layers::not_found)
        .method_not_allowed_fallback(layers::method_not_allowed);
    router
        .layer(option_layer(guarded.then(|| require_key_to_change(Scope::Operate))))
        .layer(identify(&keys, &LimitsConfig::default()))
        .layer(host_check(keys.is_open()))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(layers::catch_panic())
}

async fn readyz(State(health): State<Health>) -> Response {
    let readiness = health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn version(State(service): State<Service>) -> Json<Value> {
    let Service { version, commit, rustc, .. } = service;
    Json(json!({ "version": version, "platformVersion": PLATFORM_VERSION, "commit": commit, "rustc": rustc }))
}

async fn render(State(metrics): State<Metrics>, headers: HeaderMap) -> Result<Response, Problem> {
    let form = Exposition::accepted(&headers);
    #[expect(clippy::disallowed_methods, reason = "a scrape has no span")]
    let page =
        tokio::task::spawn_blocking(move || metrics.render(form)).await.map_err(|_| Problem::internal())?;
    let headers =
        [(header::CONTENT_TYPE, form.content_type()), (header::VARY, HeaderValue::from_static("accept"))];
    Ok((headers, page).into_response())
}

async fn set_log_filter(
    State(filter): State<LogFilter>,
    caller: Option<axum::Extension<Caller>>,
    text: Bytes,
) -> Result<StatusCode, Problem> {
    let text = std::str::from_utf8(&text).map_err(|_| Problem::bad_request("A log filter is UTF-8 text."))?;
    filter.set(text.trim()).map_err(Problem::bad_request)?;
    let key = caller.and_then(|caller| caller.key().map(ToString::to_string));
    tracing::info!(key, "log filter changed");
    Ok(StatusCode::NO_CONTENT)
}
