//! Degradation on a router: slow requests shed a route.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use chassis_resilience::{Degradation, DegradationConfig, Feature, Shed};
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
    let degraded = |_: Shed| StatusCode::SERVICE_UNAVAILABLE;
    Router::new()
        .route("/preview", get(async || "drawn").layer(degradation.shed_layer(PREVIEW, degraded)))
        .route("/slow", get(async || tokio::time::sleep(SLOW).await).layer(degradation.latency_layer()))
        .layer(degradation.in_flight_layer())
}

async fn ask(router: &Router, path: &str) -> StatusCode {
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap().status()
}

#[tokio::test]
async fn slow_requests_shed_a_route_and_it_comes_back_by_itself() {
    let degradation = degradation();
    let router = router(&degradation);
    let controller = degradation.run(Vec::new());
    let requests = async {
        let level = async |wanted: u8, requests: usize| {
            while degradation.level() != wanted {
                let requests = (0..requests).map(|_| ask(&router, "/slow"));
                futures_util::future::join_all(requests).await;
            }
        };
        level(1, 30).await;
        assert_eq!(ask(&router, "/preview").await, StatusCode::SERVICE_UNAVAILABLE);
        // One slow request at a time proves nothing.
        level(0, 1).await;
        assert_eq!(ask(&router, "/preview").await, StatusCode::OK);
    };
    let requests = tokio::time::timeout(Duration::from_secs(30), requests);
    tokio::select! {
        done = requests => done.unwrap(),
        () = controller => {}
    }
}
