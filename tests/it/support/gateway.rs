//! A gateway in this process that answers as told and remembers what it was sent.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use epro_notify::{notify::config::ProviderConfig, platform::task};
use parking_lot::Mutex;
use serde_json::Value;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::net::TcpListener;

/// What a gateway is told to do with a message.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Answer(u16),
    /// Read it, and never answer.
    Silence,
}

/// One message as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub key: String,
    pub traceparent: Option<String>,
    pub body: Value,
}

#[derive(Clone, Default)]
pub struct Gateway {
    /// For the next messages; then 200.
    pub acts: Arc<Mutex<VecDeque<Act>>>,
    pub received: Arc<Mutex<Vec<Received>>>,
}

impl Gateway {
    /// A gateway that listens, and the settings of a provider that sends to it.
    pub async fn start() -> (Self, ProviderConfig) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/send", listener.local_addr().unwrap()).parse().unwrap();
        let gateway = Self::default();
        let routes = Router::new().route("/send", post(receive)).with_state(gateway.clone());
        task::spawn(async move { axum::serve(listener, routes).await });
        // Enough for a busy machine where an answer comes, and short where none does.
        (gateway, ProviderConfig::Http { url, timeout: Duration::from_secs(2) })
    }

    pub fn will(&self, acts: &[Act]) {
        self.acts.lock().extend(acts);
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().clone()
    }
}

async fn receive(State(gateway): State<Gateway>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    gateway.received.lock().push(Received {
        key: header("idempotency-key").unwrap(),
        traceparent: header("traceparent"),
        body: serde_json::from_slice(&body).unwrap(),
    });
    let act = gateway.acts.lock().pop_front();
    match act.unwrap_or(Act::Answer(200)) {
        Act::Answer(status) => StatusCode::from_u16(status).unwrap(),
        Act::Silence => std::future::pending().await,
    }
}
