//! The gateway's HTTP API: messages on any path, and three paths for its operator.

use crate::{
    behaviour::{Behaviour, Fate, Fates},
    ledger::Ledger,
};
use axum::{
    Router,
    body::Bytes,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most arrivals in one answer of `/received`.
const PAGE: usize = 10_000;

#[derive(Clone)]
pub struct Gateway {
    fates: Arc<Mutex<Fates>>,
    ledger: Arc<Mutex<Ledger>>,
}

impl Gateway {
    pub fn new(behaviour: Behaviour, seed: Option<u64>, ledger: Ledger) -> Self {
        let fates = Arc::new(Mutex::new(Fates::new(behaviour, seed)));
        Self { fates, ledger: Arc::new(Mutex::new(ledger)) }
    }
}

pub fn routes(gateway: Gateway) -> Router {
    Router::new()
        .route("/control", put(control).get(controlled))
        .route("/stats", get(stats))
        .route("/received", get(received))
        .fallback_service(post(message).with_state(gateway.clone()))
        .with_state(gateway)
}

/// All that is read of a message.
#[derive(Deserialize)]
struct Message {
    id: String,
    #[serde(default)]
    text: String,
}

async fn message(State(gateway): State<Gateway>, headers: HeaderMap, body: Bytes) -> Response {
    let message: Option<Message> = serde_json::from_slice(&body).ok();
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok());
    let Some(Message { id, text }) = message.filter(|message| key == Some(&message.id)) else {
        gateway.ledger.lock().answered(None, StatusCode::BAD_REQUEST);
        return (StatusCode::BAD_REQUEST, "the body needs an id, the same as Idempotency-Key\n")
            .into_response();
    };
    if gateway.ledger.lock().arrived(&id, &text).is_err() {
        return (StatusCode::INSUFFICIENT_STORAGE, "cannot record\n").into_response();
    }
    // Drawn apart from the match, which would hold the lock across the wait.
    let fate = gateway.fates.lock().next();
    let response = match fate {
        Fate::Silence => std::future::pending().await,
        Fate::Limited(seconds) => {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, HeaderValue::from(seconds))])
                .into_response()
        }
        Fate::Answer(status, after) => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            (status, json(&serde_json::json!({ "messageId": id }))).into_response()
        }
    };
    gateway.ledger.lock().answered(Some(&id), response.status());
    response
}

async fn control(State(gateway): State<Gateway>, body: Bytes) -> Response {
    let parsed: Result<Behaviour, _> = serde_json::from_slice(&body);
    match parsed.map_err(|error| error.to_string()).and_then(|new| Ok(new.check().map(|()| new)?)) {
        Err(fault) => (StatusCode::BAD_REQUEST, format!("{fault}\n")).into_response(),
        Ok(behaviour) => {
            gateway.fates.lock().behave(behaviour);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn controlled(State(gateway): State<Gateway>) -> Response {
    json(gateway.fates.lock().behaviour())
}

async fn stats(State(gateway): State<Gateway>) -> Response {
    json(&gateway.ledger.lock().stats())
}

/// `?after=N` leaves out the first N arrivals; the answer has at most 10,000.
async fn received(State(gateway): State<Gateway>, RawQuery(query): RawQuery) -> Response {
    let after = match query.as_deref().map(|query| query.strip_prefix("after=").map(str::parse)) {
        None => 0,
        Some(Some(Ok(after))) => after,
        Some(_) => return (StatusCode::BAD_REQUEST, "known is ?after=NUMBER\n").into_response(),
    };
    json(&gateway.ledger.lock().since(after, PAGE))
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
