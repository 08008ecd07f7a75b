//! The domain over a real SQLite file, asked through the whole HTTP stack but the sockets.

use super::queue::{PATIENCE, config};
use axum::{
    body::Body,
    http::{HeaderMap, Method, Request},
};
use epro_notify::{
    notify::{
        self, Notify,
        config::{ChannelConfig, NotifyConfig, ProviderConfig},
    },
    platform::{
        config::Reader,
        http::{HttpConfig, Peer, Stack},
        queue::{self, Queue, config::QueueConfig},
        resilience::Degradation,
        store::{Ledger, Store},
        task,
    },
};
use http_body_util::BodyExt;
use serde_json::Value;
use std::time::Duration;
use tempfile::TempDir;

/// The service without its sockets.
pub struct Domain {
    pub store: Store,
    pub queue: Queue,
    stack: Stack,
    _folder: TempDir,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    /// Null where there is none.
    pub body: Value,
}

impl Domain {
    /// Accepts, and delivers nothing until [`Self::start`].
    pub async fn open(sms: ProviderConfig, push: ProviderConfig, config: QueueConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("test.db");
        let store = Store::open(&file, true, PATIENCE, &[queue::SCHEMA, notify::SCHEMA]).unwrap();
        let channels =
            NotifyConfig { sms: ChannelConfig { provider: sms }, push: ChannelConfig { provider: push } };
        let notify = Notify::new(&channels, store.clone(), config.workers).unwrap();
        let queue = Queue::open(store.clone(), config, notify::CHANNELS, notify.deliverer()).await.unwrap();
        let http = HttpConfig::read(&mut Reader::for_tests(&[]), "127.0.0.1:0");
        let stack = Stack::new(notify.routes(queue.clone(), Degradation::new(&[])), &http, None).unwrap();
        Self { store, queue, stack, _folder: folder }
    }

    pub fn start(&self) {
        task::spawn(self.queue.start());
    }

    pub async fn started(sms: ProviderConfig, push: ProviderConfig) -> Self {
        let domain = Self::open(sms, push, config()).await;
        domain.start();
        domain
    }

    /// With provider `console` for both channels.
    pub async fn console() -> Self {
        Self::started(ProviderConfig::Console, ProviderConfig::Console).await
    }

    pub async fn call(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answered {
        let mut request = Request::builder().method(method).uri(format!("/api/v1{path}"));
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let peer = Peer { address: "127.0.0.1:1".parse().unwrap(), trusted: true, encrypted: false };
        let (parts, body) = self.stack.answer(request, peer).await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Answered { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answered {
        self.call(Method::POST, path, &[], &body.to_string()).await
    }

    /// A POST with an `Idempotency-Key`.
    pub async fn keyed(&self, key: &str, path: &str, body: &Value) -> Answered {
        self.call(Method::POST, path, &[("idempotency-key", key)], &body.to_string()).await
    }

    pub async fn put(&self, path: &str, body: &Value) -> Answered {
        self.call(Method::PUT, path, &[], &body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.call(Method::GET, path, &[], "").await
    }

    pub async fn delete(&self, path: &str) -> Answered {
        self.call(Method::DELETE, path, &[], "").await
    }

    /// Waits until the notification has this status, and gives what is shown of it.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        let reached = async {
            loop {
                let shown = self.get(&format!("/notifications/{id}")).await.body;
                if shown["status"] == status {
                    return shown;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{id} never became {status}"))
    }

    /// The account as of the last commit, which has to balance.
    pub fn ledger(&self) -> Ledger {
        let ledger = self.store.ledger();
        assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
        ledger
    }
}

impl Answered {
    /// The notification's id.
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Which fields a problem finds wrong, in alphabetical order.
    pub fn pointers(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().unwrap();
        let mut pointers: Vec<_> = errors.iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        pointers
    }

    /// That it is a problem of this status and type.
    pub fn is_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        assert_eq!(self.body["type"], format!("/problems/{slug}"), "{self:?}");
        assert_eq!(self.body["status"], status, "{self:?}");
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{self:?}");
    }
}
