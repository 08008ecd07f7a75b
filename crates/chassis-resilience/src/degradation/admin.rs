//! `GET` and `PUT /degradation`, to be merged into the admin listener's router.

use super::{Degradation, Feature};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use chassis_telemetry::http::CallerKey;
use serde::Deserialize;
use serde_json::{Value, json};

/// A body holds a number or a word.
const BODY_MAX: usize = 1024;

impl Degradation {
    /// What decides about the level, at one moment. Signals are shown also while the level is pinned.
    fn view(&self) -> Value {
        let state = self.0.state.lock();
        let level = state.ladder.level;
        let signals = state.readings.iter().map(|reading| {
            let pressure = (reading.pressure.value * 1000.0).round() / 1000.0;
            json!({ "name": reading.name, "pressure": pressure, "raisesTo": reading.raises_to })
        });
        let features = self.0.features.iter().map(
            |Feature { name, level: from }| json!({ "name": name, "level": from, "shed": level >= *from }),
        );
        json!({
            "level": level,
            "highest": state.ladder.highest,
            "pinned": state.pinned,
            "signals": signals.collect::<Vec<_>>(),
            "features": features.collect::<Vec<_>>(),
        })
    }

    /// `GET /degradation` shows level, signals and features; `PUT /degradation` with `{"level": 2}` pins the level and with
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

async fn show(State(degradation): State<Degradation>) -> Json<Value> {
    Json(degradation.view())
}

async fn pin(
    State(degradation): State<Degradation>,
    caller: Option<Extension<CallerKey>>,
    body: Bytes,
) -> Response {
    let level = match serde_json::from_slice(&body) {
        Ok(Pin { level }) if level == "auto" => None,
        // Whatever else it is, no feature has such a level.
        Ok(Pin { level }) => Some(level.as_u64().and_then(|level| level.try_into().ok()).unwrap_or(u8::MAX)),
        Err(error) if error.is_data() => return refuse(StatusCode::UNPROCESSABLE_ENTITY, &error),
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error),
    };
    if let Err(error) = degradation.pin(level) {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, &error);
    }
    let key = caller.as_ref().and_then(|caller| caller.get());
    tracing::info!(key, level = degradation.level(), pinned = level.is_some(), "degradation set by hand");
    show(State(degradation)).await.into_response()
}

fn refuse(status: StatusCode, error: &dyn std::error::Error) -> Response {
    let (title, detail) = (status.canonical_reason(), error.to_string());
    let problem =
        json!({ "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail });
    (status, [(header::CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
}
