//! The admin listener from outside.

use crate::support::http::{Answer, LONG};
use epro_notify::platform::{
    admin::{Admin, AdminConfig, Pages, Version},
    auth::Keys,
    health::Health,
};
use parking_lot::Mutex;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

struct Started {
    admin: Admin,
    health: Health,
    filter: Arc<Mutex<String>>,
}

fn start(listen: &str) -> Started {
    start_with(listen, Keys::open())
}

fn start_with(listen: &str, keys: Keys) -> Started {
    let health = Health::default();
    let filter = Arc::new(Mutex::new("info".to_owned()));
    let kept = Arc::clone(&filter);
    let pages = Pages {
        health: health.clone(),
        keys,
        version: Version { version: "1.2.3", platform_version: "0.1.0", commit: "abc", rustc: "1.95.0" },
        metrics: Arc::new(|_| "up 1\n".to_owned()),
        log_filter: Arc::new(move |text| {
            if text == "nonsense" {
                return Err("not a filter".to_owned());
            }
            *kept.lock() = text.to_owned();
            Ok(())
        }),
        degradation: None,
    };
    let config = AdminConfig { listen: listen.parse().unwrap(), tls: None };
    Started { admin: Admin::start(&config, None, pages).unwrap(), health, filter }
}

/// Blocks, as the service's own runtime would under full load: the listener has to answer all the same.
fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let length = body.len();
    let head = "Host: test\r\nConnection: close";
    write!(stream, "{method} {path} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    Answer::parse(&answer)
}

#[tokio::test]
async fn readiness_names_each_check_and_its_reason() {
    let started = start("127.0.0.1:0");
    let store = started.health.check("store");
    let answer = ask(started.admin.address(), "GET", "/readyz", "");
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json(),
        serde_json::json!({"ready": false, "checks": [{"name": "store", "ok": false, "reason": "starting"}]})
    );
    store.ok();
    let answer = ask(started.admin.address(), "GET", "/readyz", "");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json(), serde_json::json!({"ready": true, "checks": [{"name": "store", "ok": true}]}));
    started.health.not_ready("shutting down");
    assert_eq!(ask(started.admin.address(), "GET", "/readyz", "").status, 503);
    assert_eq!(ask(started.admin.address(), "GET", "/livez", "").status, 200);
    started.admin.stop();
}

#[tokio::test]
async fn metrics_and_version_are_served_and_everything_else_is_not_there() {
    let started = start("127.0.0.1:0");
    let address = started.admin.address();
    let metrics = ask(address, "GET", "/metrics", "");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert_eq!(metrics.body, "up 1\n");
    assert_eq!(ask(address, "GET", "/version", "").json()["platformVersion"], "0.1.0");
    assert_eq!(ask(address, "GET", "/", "").status, 404);
    assert_eq!(ask(address, "POST", "/metrics", "").header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn the_log_filter_is_set_or_what_is_wrong_with_it_told() {
    let started = start("127.0.0.1:0");
    let address = started.admin.address();
    assert_eq!(ask(address, "PUT", "/log-filter", "debug\n").status, 204);
    assert_eq!(*started.filter.lock(), "debug");
    let refused = ask(address, "PUT", "/log-filter", "nonsense");
    assert_eq!((refused.status, refused.json()["detail"].as_str()), (400, Some("not a filter")));
    assert_eq!(ask(address, "PUT", "/log-filter", &"x".repeat(5000)).status, 413);
}

#[tokio::test]
async fn without_keys_a_listener_that_others_reach_is_for_reading_alone() {
    let started = start("0.0.0.0:0");
    assert_eq!(ask(started.admin.address(), "PUT", "/log-filter", "debug").status, 403);
    assert_eq!(*started.filter.lock(), "info");
    assert_eq!(ask(started.admin.address(), "GET", "/livez", "").status, 200);
}

#[test]
fn a_taken_port_is_named() {
    let started = start("127.0.0.1:0");
    let address = started.admin.address();
    let config = AdminConfig { listen: address, tls: None };
    let pages = Pages {
        health: Health::default(),
        keys: Keys::open(),
        version: Version { version: "", platform_version: "", commit: "", rustc: "" },
        metrics: Arc::new(|_| String::new()),
        log_filter: Arc::new(|_| Ok(())),
        degradation: None,
    };
    let error = Admin::start(&config, None, pages).err().unwrap().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
}
