//! What the admin listener answers. It has no metrics, spans or lines of its own: probes and scrapes are
//! nobody's traffic.

use super::{degradation, exposition};
use crate::platform::{
    admission::{self, Denied, Needs},
    auth::{KeyName, Keys, Scope},
    health::Health,
    http::{Peer, Problem, Service, compressed, read_body, takes_gzip},
    resilience::Degradation,
    task,
    telemetry::Exposition,
};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde::Serialize;
use std::{convert::Infallible, sync::Arc, time::Duration};

/// The text of a log filter, in bytes.
const LARGEST_FILTER: usize = 4096;
pub(super) const BODY_TIME: Duration = Duration::from_secs(10);

/// What runs here: `/version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    pub version: &'static str,
    pub platform_version: &'static str,
    pub commit: &'static str,
    pub rustc: &'static str,
}

/// Renders the metrics in the form that is asked for.
pub type Render = Arc<dyn Fn(Exposition) -> String + Send + Sync>;
/// Sets a filter, or says what is wrong with its text.
pub type SetFilter = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

/// Where the pages come from. Cheap to clone.
#[derive(Clone)]
pub struct Pages {
    pub health: Health,
    /// Who may change something, where others than this machine reach the listener.
    pub keys: Keys,
    pub version: Version,
    /// Called where blocking is allowed.
    pub metrics: Render,
    /// Sets the log filter.
    pub log_filter: SetFilter,
    /// Where something can be shed.
    pub degradation: Option<Degradation>,
}

impl Pages {
    /// The pages as they are served on this listener.
    pub(super) fn on(self, loopback: bool) -> Served {
        Served { pages: self, loopback }
    }
}

/// The pages of one listener.
#[derive(Clone)]
pub(super) struct Served {
    pages: Pages,
    /// Whether only this machine reaches it: then nobody needs a key.
    loopback: bool,
}

impl Service for Served {
    async fn call(&self, request: Request<Incoming>, _peer: Peer) -> Result<Response, Infallible> {
        let get = matches!(*request.method(), Method::GET | Method::HEAD);
        let put = request.method() == Method::PUT;
        let response = match request.uri().path() {
            "/livez" if get => "ok\n".into_response(),
            "/readyz" if get => self.readyz(),
            "/version" if get => json(StatusCode::OK, &self.pages.version),
            "/metrics" if get => self.metrics(request.headers()).await,
            "/log-filter" if put => match self.operator(request.headers()) {
                Ok(key) => self.log_filter(request, key).await.unwrap_or_else(IntoResponse::into_response),
                Err(denied) => denied.into_response(),
            },
            "/degradation" if self.pages.degradation.is_some() => self.degradation(request).await,
            "/livez" | "/readyz" | "/version" | "/metrics" => not_allowed("GET, HEAD"),
            "/log-filter" => not_allowed("PUT"),
            _ => Problem::not_found("Nothing is served at this path.").into_response(),
        };
        Ok(response)
    }
}

impl Served {
    fn readyz(&self) -> Response {
        let readiness = self.pages.health.readiness();
        let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json(status, &readiness)
    }

    /// Prometheus takes gzip: 28 KiB of a fresh service are 4.
    async fn metrics(&self, headers: &HeaderMap) -> Response {
        let (form, takes_gzip) = (exposition::wanted(headers), takes_gzip(headers));
        let render = Arc::clone(&self.pages.metrics);
        // Off this thread: a big registry takes long to render, and probes are not to wait for it.
        let rendered = task::spawn_blocking(move || compressed(takes_gzip, render(form).into()));
        match rendered.await {
            Ok(mut page) => {
                page.headers_mut().insert(header::CONTENT_TYPE, exposition::content_type(form));
                page.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
                page
            }
            Err(_) => Problem::internal().into_response(),
        }
    }

    /// Whether the caller may change the service, and by which key: the question of every PUT.
    fn operator(&self, headers: &HeaderMap) -> Result<Option<KeyName>, Denied> {
        if self.loopback {
            return Ok(None);
        }
        if self.pages.keys.is_open() {
            return Err(Denied::NoKeys);
        }
        let (key, permitted) = admission::identify(&self.pages.keys, headers, Needs::Scope(Scope::Operate));
        permitted.map(|()| key)
    }

    async fn degradation(&self, request: Request<Incoming>) -> Response {
        let Some(degradation) = &self.pages.degradation else { return Problem::internal().into_response() };
        match *request.method() {
            Method::GET | Method::HEAD => json(StatusCode::OK, &degradation.view()),
            Method::PUT => match self.operator(request.headers()) {
                Ok(key) => match degradation::pin(degradation, request, key).await {
                    Ok(()) => json(StatusCode::OK, &degradation.view()),
                    Err(problem) => problem.into_response(),
                },
                Err(denied) => denied.into_response(),
            },
            _ => not_allowed("GET, HEAD, PUT"),
        }
    }

    async fn log_filter(
        &self,
        request: Request<Incoming>,
        key: Option<KeyName>,
    ) -> Result<Response, Problem> {
        let (parts, body) = request.into_parts();
        let filter = read_body(&parts.headers, body, LARGEST_FILTER, BODY_TIME).await?;
        let filter =
            std::str::from_utf8(&filter).map_err(|_| Problem::bad_request("A filter is UTF-8 text."))?;
        (self.pages.log_filter)(filter.trim()).map_err(Problem::bad_request)?;
        tracing::info!(key = key.as_ref().map(KeyName::as_str), "log filter changed");
        Ok(StatusCode::NO_CONTENT.into_response())
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response {
    const JSON: HeaderValue = HeaderValue::from_static("application/json");
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(header::CONTENT_TYPE, JSON)], body).into_response(),
        Err(_) => Problem::internal().into_response(),
    }
}

fn not_allowed(allow: &'static str) -> Response {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed");
    let mut response = problem.into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}
