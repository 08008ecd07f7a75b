//! `GET` and `PUT /degradation`, to be merged into the admin listener's router.

use super::Degradation;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A body holds a number or a word.
const BODY_MAX: usize = 1024;

/// What decides about the level, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    pub level: u8,
    /// The level at which everything is shed that can be.
    pub highest: u8,
    /// Whether an operator has pinned the level; the signals are shown all the same.
    pub pinned: bool,
    pub signals: Vec<SignalView>,
    pub features: Vec<FeatureView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignalView {
    pub name: &'static str,
    /// The level rises from 1 on and falls below 0.7; three decimal places.
    pub pressure: f64,
    /// The highest level that this signal raises to.
    pub raises_to: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FeatureView {
    pub name: &'static str,
    /// The level from which on it is shed.
    pub level: u8,
    pub shed: bool,
}

impl Degradation {
    /// The state now.
    pub fn view(&self) -> View {
        let state = self.0.state.lock();
        let level = state.ladder.level();
        let signals = state.signals.iter().map(|signal| SignalView {
            name: signal.name,
            pressure: (signal.reading.pressure * 1000.0).round() / 1000.0,
            raises_to: signal.reading.raises_to,
        });
        let features = self.0.features.iter().map(|(feature, _)| FeatureView {
            name: feature.name,
            level: feature.level,
            shed: level >= feature.level,
        });
        View {
            level,
            highest: state.ladder.highest(),
            pinned: state.pinned,
            signals: signals.collect(),
            features: features.collect(),
        }
    }

    /// `GET /degradation` shows the [`View`]; `PUT /degradation` with `{"level": 2}` pins the level and with
    /// `{"level": "auto"}` returns it to the signals. Who may do that is the admin listener's decision.
    pub fn admin_routes(&self) -> Router {
        Router::new()
            .route("/degradation", get(show).put(pin))
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .with_state(self.clone())
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    level: Value,
}

async fn show(State(degradation): State<Degradation>) -> Json<View> {
    Json(degradation.view())
}

async fn pin(State(degradation): State<Degradation>, body: Bytes) -> Response {
    let body = match serde_json::from_slice::<Pin>(&body) {
        Ok(body) => body,
        Err(error) if error.is_data() => {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string());
        }
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let level = match (body.level.as_u64(), body.level.as_str()) {
        (Some(level), _) => Some(u8::try_from(level).unwrap_or(u8::MAX)),
        (None, Some("auto")) => None,
        _ => return problem(StatusCode::UNPROCESSABLE_ENTITY, "level must be a number or \"auto\""),
    };
    if let Err(error) = degradation.pin(level) {
        return problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string());
    }
    let view = degradation.view();
    tracing::info!(level = view.level, pinned = view.pinned, "degradation set by hand");
    Json(view).into_response()
}

fn problem(status: StatusCode, detail: &str) -> Response {
    let title = status.canonical_reason();
    let body = json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
