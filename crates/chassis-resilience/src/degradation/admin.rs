//! `GET` and `PUT /degradation`, to be merged into the admin listener's router.

use super::{Degradation, Feature};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Json, Router};
use chassis_http::Problem;
use chassis_telemetry::http::CallerKey;
use serde::Deserialize;
use serde_json::{Value, json};

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
        Router::new().route("/degradation", get(show).put(pin)).with_state(self.clone())
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
) -> Result<Json<Value>, Problem> {
    let wrong = |detail: String| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no-such-level", "No such level").detail(detail)
    };
    let level = match serde_json::from_slice(&body) {
        Ok(Pin { level }) if level == "auto" => None,
        // Whatever else it is, no feature has such a level.
        Ok(Pin { level }) => Some(level.as_u64().and_then(|level| level.try_into().ok()).unwrap_or(u8::MAX)),
        Err(error) if error.is_data() => {
            return Err(wrong("The body is an object with one field, level: a number or auto.".to_owned()));
        }
        Err(_) => return Err(Problem::bad_request("The body is not JSON.")),
    };
    degradation.pin(level).map_err(|error| wrong(error.to_string()))?;
    let key = caller.as_ref().and_then(|caller| caller.get());
    tracing::info!(key, level = degradation.level(), pinned = level.is_some(), "degradation set by hand");
    Ok(show(State(degradation)).await)
}
