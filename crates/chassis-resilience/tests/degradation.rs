//! Degradation on a router that is served: a shed route, slow requests that shed it, and the level set by hand.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::routing::get;
use chassis_resilience::{Degradation, DegradationConfig, Feature, Shed};
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

const PREVIEW: Feature = Feature { name: "preview", level: 1 };
const BULK: Feature = Feature { name: "bulk", level: 2 };
const SLOW: Duration = Duration::from_millis(30);

fn degradation() -> Degradation {
    let hold = Duration::from_millis(500);
    Degradation::new(&[PREVIEW, BULK], DegradationConfig { latency: SLOW / 3, hold, ..Default::default() })
}

/// A router whose `/preview` is shed and whose `/slow` is held against the latency.
fn router(degradation: &Degradation) -> Router {
    let degraded = |shed: Shed| {
        let seconds = shed.retry_after.as_secs().to_string();
        (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, seconds)], shed.to_string())
    };
    Router::new()
        .route("/preview", get(async || "drawn").layer(degradation.shed_layer(PREVIEW, degraded)))
        .route("/slow", get(async || tokio::time::sleep(SLOW).await).layer(degradation.latency_layer()))
        .layer(degradation.in_flight_layer())
}

async fn ask(router: &Router, method: &str, path: &str, body: &str) -> (StatusCode, Option<String>, String) {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let retry_after =
        answer.headers().get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().to_owned());
    let (status, body) = (answer.status(), to_bytes(answer.into_body(), usize::MAX).await.unwrap());
    (status, retry_after, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_shed_route_is_answered_with_when_to_come_again() {
    let degradation = degradation();
    let router = router(&degradation);
    assert_eq!(ask(&router, "GET", "/preview", "").await.0, StatusCode::OK);
    degradation.pin(Some(1)).unwrap();
    let (status, retry_after, body) = ask(&router, "GET", "/preview", "").await;
    assert_eq!((status, retry_after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("30")));
    assert!(body.contains("preview"));
    assert_eq!(ask(&router, "GET", "/slow", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn slow_requests_shed_a_route_and_it_comes_back_by_itself() {
    let degradation = degradation();
    let router = router(&degradation);
    let controller = degradation.run(Vec::new());
    let requests = async {
        let level = async |wanted: u8, requests: usize| {
            while degradation.level() != wanted {
                let requests = (0..requests).map(|_| ask(&router, "GET", "/slow", ""));
                futures_util::future::join_all(requests).await;
            }
        };
        level(1, 30).await;
        assert_eq!(ask(&router, "GET", "/preview", "").await.0, StatusCode::SERVICE_UNAVAILABLE);
        // One slow request at a time proves nothing.
        level(0, 1).await;
        assert_eq!(ask(&router, "GET", "/preview", "").await.0, StatusCode::OK);
    };
    let requests = tokio::time::timeout(Duration::from_secs(30), requests);
    tokio::select! {
        done = requests => done.unwrap(),
        () = controller => {}
    }
}

#[tokio::test]
async fn an_operator_sees_the_level_pins_it_and_returns_it() {
    let degradation = degradation();
    let _controller = degradation.run(Vec::new());
    let admin = degradation.admin_routes();
    let view = async |method: &str, body: &str| {
        let (status, _, body) = ask(&admin, method, "/degradation", body).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let feature = |name, level, shed| json!({ "name": name, "level": level, "shed": shed });
    let signal = |name| json!({ "name": name, "pressure": 0.0, "raisesTo": 2 });
    let expected = json!({
        "level": 0, "highest": 2, "pinned": false, "signals": [signal("latency"), signal("in_flight")],
        "features": [feature("preview", 1, false), feature("bulk", 2, false)],
    });
    assert_eq!(view("GET", "").await, expected);
    let pinned = view("PUT", r#"{"level":1}"#).await;
    assert_eq!((&pinned["level"], &pinned["pinned"]), (&json!(1), &json!(true)));
    assert_eq!(pinned["features"], json!([feature("preview", 1, true), feature("bulk", 2, false)]));
    assert_eq!(view("PUT", r#"{"level":"auto"}"#).await["pinned"], json!(false));
}

#[tokio::test]
async fn a_level_that_does_not_exist_is_refused_and_changes_nothing() {
    let degradation = degradation();
    let admin = degradation.admin_routes();
    for (body, status) in [
        ("", 400),
        ("{", 400),
        ("2", 422),
        ("{}", 422),
        (r#"{"level":3}"#, 422),
        (r#"{"level":256}"#, 422),
        (r#"{"level":-1}"#, 422),
        (r#"{"level":1.5}"#, 422),
        (r#"{"level":"2"}"#, 422),
        (r#"{"level":null}"#, 422),
        (r#"{"level":1,"level":2}"#, 422),
        (r#"{"level":1,"for":"1h"}"#, 422),
        (&format!(r#"{{"level":{}1}}"#, " ".repeat(2000)), 413),
    ] {
        let answer = ask(&admin, "PUT", "/degradation", body).await;
        assert_eq!(answer.0, status, "{body}: {answer:?}");
    }
    assert_eq!(degradation.level(), 0);
}
