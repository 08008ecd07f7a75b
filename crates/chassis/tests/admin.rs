//! The admin listener from outside.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use axum::{Router, routing::put};
use chassis::{Admin, AdminConfig, Health, Pages};
use chassis_http::{Key, Keys, TlsConfig};
use chassis_telemetry::{Service, Setup, Telemetry};
use reqwest::{Client, Response, StatusCode};
use std::{net::SocketAddr, sync::LazyLock, time::Duration};

const SERVICE: Service = Service::new("test", "1.2.3");

static TELEMETRY: LazyLock<Telemetry> =
    LazyLock::new(|| chassis_telemetry::init(Setup::new(SERVICE)).unwrap());

struct Started {
    admin: Admin,
    health: Health,
}

async fn start(listen: &str, keys: Keys) -> Started {
    let health = Health::default();
    let config = AdminConfig { listen: listen.parse().unwrap(), traces: None, tls: TlsConfig::default() };
    let routes = Router::new().route("/switch", put("switched").get("off"));
    let pages = Pages { health: health.clone(), keys, service: SERVICE, routes };
    Started { admin: Admin::start(&config, pages, &TELEMETRY).await.unwrap(), health }
}

fn client() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

impl Started {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", SocketAddr::from(([127, 0, 0, 1], self.admin.address().port())))
    }

    async fn get(&self, path: &str) -> Response {
        client().get(self.url(path)).send().await.unwrap()
    }

    async fn put(&self, path: &str, body: &'static str) -> Response {
        client().put(self.url(path)).body(body).send().await.unwrap()
    }
}

fn keys(scopes: &str) -> Keys {
    Keys::of(vec![Key::of("ops".parse().unwrap(), scopes.parse().unwrap(), "KEY")])
}

#[tokio::test]
async fn readiness_names_each_check_and_its_reason() {
    let started = start("127.0.0.1:0", Keys::open()).await;
    let store = started.health.check("store");
    let answer = started.get("/readyz").await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(
        body,
        serde_json::json!({"ready": false, "checks": [{"name": "store", "ok": false, "reason": "starting"}]})
    );
    store.ok();
    let body: serde_json::Value = started.get("/readyz").await.json().await.unwrap();
    assert_eq!(body, serde_json::json!({"ready": true, "checks": [{"name": "store", "ok": true}]}));
    started.health.not_ready("shutting down");
    assert_eq!(started.get("/readyz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(started.get("/livez").await.status(), StatusCode::OK);
    started.admin.stop().await;
}

#[tokio::test]
async fn metrics_and_version_are_served_and_everything_else_is_a_problem() {
    let started = start("127.0.0.1:0", Keys::open()).await;
    let metrics = started.get("/metrics").await;
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(metrics.text().await.unwrap().contains("# TYPE "));
    let open_metrics = client().get(started.url("/metrics")).header("accept", "application/openmetrics-text");
    assert!(open_metrics.send().await.unwrap().text().await.unwrap().ends_with("# EOF\n"));
    let gzip = client().get(started.url("/metrics")).header("accept-encoding", "gzip").send().await.unwrap();
    assert_eq!(gzip.headers()["content-encoding"], "gzip");
    let version: serde_json::Value = started.get("/version").await.json().await.unwrap();
    assert_eq!(
        (&version["version"], &version["platformVersion"]),
        (&"1.2.3".into(), &chassis::VERSION.into())
    );
    let nowhere = started.get("/").await;
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
    assert_eq!(nowhere.headers()["content-type"], "application/problem+json");
    let wrong_method = started.put("/metrics", "").await;
    assert_eq!(wrong_method.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong_method.headers()["allow"], "GET,HEAD");
    let foreign = client().get(started.url("/metrics")).header("host", "evil.example").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn the_log_filter_is_set_or_refused_with_the_reason() {
    let started = start("127.0.0.1:0", Keys::open()).await;
    assert_eq!(started.put("/log-filter", "debug\n").await.status(), StatusCode::NO_CONTENT);
    let refused = started.put("/log-filter", "infoo").await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let problem: serde_json::Value = refused.json().await.unwrap();
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.contains("infoo")), "{problem}");
    let long = client().put(started.url("/log-filter")).body("x".repeat(5000)).send().await.unwrap();
    assert_eq!(long.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(long.headers()["content-type"], "application/problem+json");
    let binary = client().put(started.url("/log-filter")).body(vec![0xff]).send().await.unwrap();
    assert_eq!(binary.status(), StatusCode::BAD_REQUEST);
    assert_eq!(started.put("/switch", "").await.text().await.unwrap(), "switched");
}

#[tokio::test]
async fn where_other_machines_reach_it_every_change_needs_a_key_with_operate() {
    let without_keys = start("0.0.0.0:0", Keys::open()).await;
    assert_eq!(without_keys.put("/log-filter", "info").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(without_keys.put("/switch", "").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(without_keys.get("/livez").await.status(), StatusCode::OK);
    for (scopes, status) in [("send,read", StatusCode::FORBIDDEN), ("operate", StatusCode::OK)] {
        let started = start("0.0.0.0:0", keys(scopes)).await;
        assert_eq!(started.put("/switch", "").await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(started.get("/switch").await.text().await.unwrap(), "off");
        let answer = client().put(started.url("/switch")).bearer_auth("KEY").send().await.unwrap();
        assert_eq!(answer.status(), status, "{scopes}");
    }
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let started = start("127.0.0.1:0", Keys::open()).await;
    let listen = started.admin.address();
    let config = AdminConfig { listen, traces: None, tls: TlsConfig::default() };
    let pages =
        Pages { health: Health::default(), keys: Keys::open(), service: SERVICE, routes: Router::new() };
    let error = Admin::start(&config, pages, &TELEMETRY).await.err().unwrap().to_string();
    assert!(error.contains(&listen.to_string()), "{error}");
}
