//! `GET /debug/traces`, after OpenTelemetry's zPages: recent, slow and failed traces as waterfalls with their log lines,
//! for development without a collector. HTML, or JSON where `Accept` asks for it.
//!
//! [`Traces`] is a [`Tap`]: it sees spans and lines as they leave the process, so no more than may be in a log or at a
//! collector. It keeps a bounded number of them in memory.

mod page;
mod ring;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router, extract::State, routing::get};
use chassis_telemetry::Tap;
use ring::Ring;

/// Where the page is.
pub const PATH: &str = "/debug/traces";

/// What the page may do: nothing but be looked at.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The traces that are kept, or nothing where the page is off. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Traces(Option<Arc<Ring>>);

impl Traces {
    /// On where it is `wanted`, or where that is not set and only this machine reaches the listener.
    pub fn new(wanted: Option<bool>, listen: SocketAddr) -> Self {
        let on = wanted.unwrap_or_else(|| listen.ip().to_canonical().is_loopback());
        Self(on.then(Arc::default))
    }

    /// For [`chassis_telemetry::Setup`]; nothing where it is off.
    pub fn tap(&self) -> Option<Arc<dyn Tap>> {
        Some(Arc::clone(self.0.as_ref()?) as Arc<dyn Tap>)
    }

    /// The page, for the admin listener.
    pub fn routes(&self) -> Router {
        let Some(ring) = &self.0 else { return Router::new() };
        Router::new().route(PATH, get(show)).with_state(Arc::clone(ring))
    }
}

async fn show(State(ring): State<Arc<Ring>>, headers: HeaderMap) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let shown = ring.read(|lists| match accept.contains("application/json") {
        true => Json(BTreeMap::from(lists)).into_response(),
        false => Html(page::html(&lists)).into_response(),
    });
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
    ];
    (headers, shown).into_response()
}
