//! The domain's requests, through the whole stack but the sockets, over a store of their own.

use axum::body::Body;
use epro_notify::{
    config::Config,
    notify::{self, Notify},
    platform::{
        admission::Admission,
        auth::Keys,
        http::{Peer, Stack},
        limits::Limiter,
        queue::{self, Queue},
        resilience::Degradation,
        store::Store,
    },
};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header, request::Builder};
use http_body_util::BodyExt;
use std::{
    sync::{Once, OnceLock},
    time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What may be answered to anything, beside the successes.
const REFUSALS: [u16; 13] = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429, 502, 503, 504];

struct Served {
    runtime: Runtime,
    stack: Stack,
    _folder: TempDir,
}

fn served() -> &'static Served {
    static SERVED: OnceLock<Served> = OnceLock::new();
    SERVED.get_or_init(|| {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fuzz.db");
        let stack = runtime.block_on(async {
            // Small enough that the store stays small, however long this runs.
            let settings = [
                ("queue.max_backlog", "1000"),
                ("queue.max_scheduled", "1000"),
                ("limits.per_client.rate", "1000000"),
                ("limits.per_client.burst", "1000000"),
            ];
            let config = Config::for_tests(&settings).unwrap();
            let patience = Duration::from_secs(10);
            let store = Store::open(&file, false, patience, &[queue::SCHEMA, notify::SCHEMA]).unwrap();
            let notify = Notify::new(&config.notify, store.clone(), 2).unwrap();
            let queue =
                Queue::open(store, config.queue.clone(), notify::CHANNELS, notify.deliverer()).await.unwrap();
            let admission = Admission::new(Keys::open(), Limiter::new(&config.limits), &config.limits);
            Stack::new(notify.routes(queue, Degradation::new(&[])), &config.http, Some(admission)).unwrap()
        });
        Served { runtime, stack, _folder: folder }
    })
}

/// Asks, and sees that the answer is one that the documentation tells.
fn ask(request: Builder, body: &[u8]) -> Option<StatusCode> {
    // What is no request at all does not come as far as this.
    let request = request.body(Body::from(body.to_vec())).ok()?;
    let Served { runtime, stack, .. } = served();
    let peer = Peer { address: ([127, 0, 0, 1], 1).into(), trusted: false, encrypted: false };
    let head = request.method() == Method::HEAD;
    let (status, headers, body) = runtime.block_on(async {
        let (parts, body) = stack.answer(request, peer).await.into_parts();
        (parts.status, parts.headers, body.collect().await.unwrap().to_bytes())
    });
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return Some(status);
    }
    assert!(REFUSALS.contains(&status.as_u16()), "{status}");
    assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
    if !head {
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["status"], status.as_u16(), "{problem}");
    }
    Some(status)
}

/// A request as HTTP/1.1 writes it: a line, headers, an empty line, a body.
pub fn request(bytes: &[u8]) {
    let text = super::text(bytes);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            request = request.header(name, value);
        }
    }
    ask(request, body.as_bytes());
}

/// The query of a list.
pub fn query(bytes: &[u8]) {
    let status = ask(Request::get(format!("/api/v1/dead-letters?{}", super::text(bytes))), b"");
    // Of a text that is no query, `None`.
    assert!(matches!(status.map(|status| status.as_u16()), None | Some(200 | 422)), "{status:?}");
}

/// Bodies as they are sent, and the statuses that they may come to.
fn body(method: Method, path: &str, bytes: &[u8], statuses: &[u16]) {
    let request =
        Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
    let status = ask(request, bytes).expect("it is a request").as_u16();
    assert!(statuses.contains(&status), "{status}");
}

pub fn sms_body(bytes: &[u8]) {
    body(Method::POST, "/api/v1/notifications/sms/async", bytes, &[202, 400, 413, 422, 503]);
}

pub fn push_body(bytes: &[u8]) {
    body(Method::POST, "/api/v1/notifications/push/async", bytes, &[202, 400, 413, 422, 503]);
}

pub fn patient_body(bytes: &[u8]) {
    body(Method::PUT, "/api/v1/patients/p-1", bytes, &[200, 201, 400, 413, 422, 503]);
}

pub fn resolve_body(bytes: &[u8]) {
    body(Method::POST, "/api/v1/notifications/0000000000010/resolve", bytes, &[400, 404, 413, 422, 503]);
}

/// To the one patient of a study.
pub fn study_body(bytes: &[u8]) {
    static ENROLLED: Once = Once::new();
    ENROLLED.call_once(|| {
        let enrolled = ask(Request::put("/api/v1/studies/fuzzed/patients/p-1"), b"");
        assert_eq!(enrolled, Some(StatusCode::CREATED));
    });
    body(Method::POST, "/api/v1/studies/fuzzed/notifications", bytes, &[202, 400, 413, 422, 503]);
}
