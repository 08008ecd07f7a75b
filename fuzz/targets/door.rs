//! Who calls: `Authorization`, `X-Forwarded-For`, `Idempotency-Key`, and the file of keys.

use axum::{Router, body::Body, extract::Extension};
use chassis_http::{
    Caller, Client, Key, Keys, LimitsConfig, RequestKey, Scope, auth::parse_keys, identify, require,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
};
use tokio::runtime::Runtime;
use tower::ServiceExt;

/// The one key that is known.
const KEY: &str = "a-key";
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Answers with who called, in an extension: `/` needs nothing, `/operate` a scope.
static DOOR: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    let limits = LimitsConfig { trusted_proxies, ..LimitsConfig::default() };
    let key = Key::of("known".parse().unwrap(), "operate".parse().unwrap(), KEY);
    let told = |Extension(caller): Extension<Caller>| async { Extension(caller) };
    let router = Router::new()
        .route("/operate", axum::routing::get(told).route_layer(require(Scope::Operate)))
        .route("/", axum::routing::get(told))
        .layer(identify(&Keys::of(vec![key]), &limits));
    (tokio::runtime::Builder::new_current_thread().build().unwrap(), router)
});

fn ask(path: &str, headers: HeaderMap, from: IpAddr) -> Response<Body> {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    *request.headers_mut() = headers;
    request.extensions_mut().insert(axum::extract::ConnectInfo(SocketAddr::new(from, 1)));
    let (runtime, router) = &*DOOR;
    runtime.block_on(router.clone().oneshot(request)).unwrap()
}

/// Who this is, as the door sees it.
fn caller(headers: HeaderMap, from: IpAddr) -> Caller {
    ask("/", headers, from).extensions().get::<Caller>().unwrap().clone()
}

fn headers(name: HeaderName, bytes: &[u8]) -> HeaderMap {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| Some((name.clone(), HeaderValue::from_bytes(line).ok()?))).collect()
}

/// Nobody is let in who has no key that is known.
pub fn authorization(bytes: &[u8]) {
    let headers = headers(header::AUTHORIZATION, bytes);
    // Blanks around a value are no part of it (RFC 9110, 5.5), and how many stand within it is no secret.
    let words = headers.values().flat_map(|value| value.as_bytes().split(u8::is_ascii_whitespace));
    let last = words.filter(|word| !word.is_empty()).last();
    let presented = headers.len() == 1 && last == Some(KEY.as_bytes());
    let status = ask("/operate", headers, STRANGER).status();
    assert!(status == StatusCode::UNAUTHORIZED || status == StatusCode::OK && presented, "{status}");
}

/// A stranger is counted as who it is, whatever it writes; behind a proxy that is trusted, as some address.
pub fn forwarded_for(bytes: &[u8]) {
    let headers = headers(HeaderName::from_static("x-forwarded-for"), bytes);
    let client = |from| caller(headers.clone(), from).client;
    assert_eq!(client(STRANGER), Client::Network(STRANGER));
    assert!(matches!(client(PROXY), Client::Network(_)));
}

/// A key is 1 to 255 visible characters, or 400.
pub fn idempotency_key(bytes: &[u8]) {
    let headers = headers(HeaderName::from_static("idempotency-key"), bytes);
    let caller = caller(HeaderMap::new(), STRANGER);
    let values: Vec<&[u8]> = headers.values().map(HeaderValue::as_bytes).collect();
    let fits = |key: &[u8]| (1..=255).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
    match RequestKey::read(&headers, &caller, "POST", "/", &[b"body"]) {
        Ok(key) => assert!(key.is_none() && values.is_empty() || values.len() == 1 && fits(values[0])),
        Err(problem) => assert_eq!(problem.status(), StatusCode::BAD_REQUEST),
    }
}

/// A key that is read is written as a line that is read the same.
pub fn key_file(bytes: &[u8]) {
    match parse_keys(&super::text(bytes)) {
        Ok(keys) => {
            let lines: Vec<String> = keys.iter().map(Key::line).collect();
            let again = parse_keys(&lines.join("\n")).unwrap();
            assert_eq!(again.iter().map(Key::line).collect::<Vec<_>>(), lines);
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
}
