//! A gateway in this process that takes its time and remembers when each message came.

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::TcpListener;

/// One message as it came first, and how often it came.
#[derive(Clone, Debug)]
pub struct Arrival {
    pub first: Instant,
    pub times: usize,
    /// To whom.
    pub to: String,
}

/// What arrived, by notification id.
#[derive(Clone)]
pub struct Gateway {
    latency: Duration,
    pub address: SocketAddr,
    arrived: Arc<Mutex<HashMap<String, Arrival>>>,
}

impl Gateway {
    /// A gateway that answers each message after `latency`.
    pub async fn start(latency: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gateway = Self { latency, address, arrived: Arc::default() };
        let router = Router::new().route("/send", post(receive)).with_state(gateway.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        gateway
    }

    pub fn url(&self) -> String {
        format!("http://{}/send", self.address)
    }

    pub fn arrived(&self) -> HashMap<String, Arrival> {
        self.arrived.lock().clone()
    }

    pub fn has(&self, id: &str) -> bool {
        self.arrived.lock().contains_key(id)
    }

    pub fn count(&self) -> usize {
        self.arrived.lock().len()
    }
}

async fn receive(State(gateway): State<Gateway>, body: Bytes) -> StatusCode {
    let first = Instant::now();
    let message: Value = serde_json::from_slice(&body).unwrap();
    // A push is for a device, and has no `to`.
    let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
    let arrival = Arrival { first, times: 0, to: text("to") };
    gateway.arrived.lock().entry(text("id")).or_insert(arrival).times += 1;
    tokio::time::sleep(gateway.latency).await;
    StatusCode::OK
}
