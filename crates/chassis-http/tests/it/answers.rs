//! What is answered, by whichever layer: a problem, with the headers that every answer has.

use crate::support::{LONG, SHORT, config, key, limited, request, router, serve, wide};
use axum::response::Response;
use bytes::Bytes;
use chassis_http::{Keys, LimitsConfig, ServerConfig};
use http_body::Frame;
use http_body_util::StreamBody;
use parking_lot::Mutex;
use std::{convert::Infallible, sync::Arc};
use tokio::time::sleep;
use tower::util::MapResponseLayer;

#[tokio::test]
async fn a_panic_a_handler_that_never_ends_and_a_change_without_a_key_are_problems() {
    let config = config();
    let address = serve(router(&config, &Keys::open(), &wide()), &config).await;
    for (method, path, status, slug) in [
        ("POST", "/panic", 500, "internal"),
        ("GET", "/slow", 503, "timeout"),
        // It may have been stored.
        ("POST", "/slow", 503, "commit-unknown"),
        ("POST", "/switch", 403, "forbidden"),
    ] {
        let answer = request(address, method, path).send().await.unwrap();
        let (found, headers, body) =
            (answer.status(), answer.headers().clone(), answer.text().await.unwrap());
        assert_eq!(found, status, "{path}: {body}");
        for (name, value) in [
            ("content-type", "application/problem+json"),
            ("cache-control", "no-store"),
            ("content-length", &*body.len().to_string()),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(headers[name], value, "{path} {name}");
        }
        // A panic goes through the limiter's layer.
        assert_eq!(headers.contains_key("x-ratelimit-limit"), status != 500, "{path}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&problem["type"], &problem["status"]),
            (&format!("/problems/{slug}").into(), &status.into())
        );
        assert!(!body.contains("as the test wants"));
    }
}

#[tokio::test]
async fn a_layer_of_the_service_sees_every_request_and_what_was_answered() {
    let (seen, config) = (Arc::new(Mutex::new(Vec::new())), config());
    let noted = Arc::clone(&seen);
    let router = router(&config, &key("app", "read"), &limited(1, 5));
    let router = router.layer(MapResponseLayer::new(move |response: Response| {
        noted.lock().push(response.status().as_u16());
        response
    }));
    let address = serve(router, &config).await;
    for (path, known) in [
        ("/things/1", true),
        ("/nowhere", true),
        ("/panic", true),
        ("/things/1", false),
        ("/slow", true),
        ("/things", true),
        ("/things/1", true),
    ] {
        let request = request(address, "GET", path);
        let request = if known { request.bearer_auth("app") } else { request };
        request.send().await.unwrap();
    }
    assert_eq!(*seen.lock(), [200, 404, 405, 401, 503, 405, 429]);
}

#[tokio::test]
async fn a_slow_body_takes_none_of_the_handlers_time() {
    let config = ServerConfig { body_timeout: LONG, ..config() };
    let address = serve(router(&config, &Keys::open(), &wide()), &config).await;
    let late = futures_util::stream::once(async {
        sleep(2 * SHORT).await;
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(br#"{"name":"n"}"#)))
    });
    let body = reqwest::Body::wrap(StreamBody::new(late));
    let slow = request(address, "POST", "/things").header("content-type", "application/json").body(body);
    assert_eq!(slow.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_key_is_one_client_wherever_it_calls_from_and_may_bear_the_name_of_an_address() {
    let config = config();
    let limits = LimitsConfig { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..limited(1, 2) };
    let address = serve(router(&config, &key("192.0.2.1", "read"), &limits), &config).await;
    for (client, key, status) in [
        ("192.0.2.1", "guess", 401),
        ("192.0.2.1", "192.0.2.1", 200),
        ("192.0.2.2", "192.0.2.1", 200),
        ("192.0.2.3", "192.0.2.1", 429),
        // Not charged to the key.
        ("192.0.2.1", "guess", 401),
    ] {
        let call = request(address, "GET", "/things/1").header("x-forwarded-for", client).bearer_auth(key);
        assert_eq!(call.send().await.unwrap().status(), status, "{client} {key}");
    }
}
