//! Who calls, how much, and what they may.

use crate::support::{LONG, Meeting, Server, config, keys, limited, line, metric, router, wide};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use chassis_http::{AuthConfig, Keys, Limits, LimitsConfig, identify};
use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};
use tower::{Service, ServiceBuilder};

fn bearer(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("Authorization: Bearer {key}\r\n") }
}

#[tokio::test]
async fn a_scope_opens_its_routes_and_a_refusal_says_what_would_be_accepted() {
    let keys = keys(&[line("reader", "read"), line("sender", "send"), line("operator", "operate")]);
    let server = Server::with(config(), keys, wide()).await;
    let insufficient = "Bearer error=\"insufficient_scope\", scope=\"read\"";
    for (key, path, status, challenge) in [
        ("reader", "/things/1", 200, None),
        ("sender", "/things/1", 403, Some(insufficient)),
        ("wrong", "/things/1", 401, Some("Bearer error=\"invalid_token\"")),
        ("", "/things/1", 401, Some("Bearer")),
        ("sender", "/nowhere", 404, None),
        ("wrong", "/nowhere", 401, Some("Bearer error=\"invalid_token\"")),
        ("", "/panic", 401, Some("Bearer")),
        ("sender", "/panic", 405, None),
    ] {
        let answer = server.get(path, &bearer(key)).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (status, challenge), "{key} {path}");
    }
    assert_eq!(server.post("/switch", &bearer("operator"), "").await.status, 200);
    assert_eq!(server.ask("OPTIONS /things/1 HTTP/1.1\r\n\r\n").await.status, 204, "browsers send no key");
    let counted = |key: &str, outcome: &str| {
        metric("auth_requests_total", &[&format!("key=\"{key}\""), &format!("outcome=\"{outcome}\"")])
    };
    assert_eq!((counted("reader", "ok"), counted("sender", "forbidden")), (1.0, 1.0));
}

#[tokio::test]
async fn guessing_ends_in_429_and_a_known_key_from_the_same_address_is_not_affected() {
    let server = Server::with(config(), keys(&[line("app", "read")]), limited(1, 5)).await;
    for guess in 0..10 {
        let answer = server.get("/things/1", &bearer(&format!("guess-{guess}"))).await;
        assert_eq!(answer.status, if guess < 5 { 401 } else { 429 }, "{guess}");
        assert_eq!(answer.header("retry-after").is_some(), guess >= 5);
    }
    let known = server.get("/things/1", &bearer("app")).await;
    assert_eq!((known.status, known.header("x-ratelimit-remaining")), (200, Some("4")));
}

#[tokio::test]
async fn who_waits_as_long_as_retry_after_says_is_let_in() {
    for (rate, longest) in [(1, 2), (50, 1)] {
        let server = Server::with(config(), Keys::open(), limited(rate, 2)).await;
        let refused = loop {
            let answer = server.get("/things/1", "").await;
            if answer.status == 429 {
                break answer;
            }
        };
        assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
        assert_eq!(refused.header("x-ratelimit-after"), None);
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=longest).contains(&wait), "{wait}");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        assert_eq!(server.get("/things/1", "").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_window_holds_more_than_burst_and_rate() {
    let (rate, burst) = (1000, 50);
    let limits = limited(rate, burst);
    let server = Server::with(config(), Keys::open(), limits).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/things/1", server.address);
    let begun = Instant::now();
    let mut admitted = Vec::new();
    while begun.elapsed() < Duration::from_secs(1) {
        let sent = Instant::now();
        if client.get(&url).send().await.unwrap().status() != 429 {
            admitted.push((sent, Instant::now()));
        }
    }
    for (nth, (from, _)) in admitted.iter().enumerate() {
        for (count, (_, until)) in (1..).zip(&admitted[nth..]) {
            let most = f64::from(burst) + f64::from(rate) * (*until - *from).as_secs_f64();
            assert!(f64::from(count) <= most, "{count} in a window of {most}");
        }
    }
    assert!(admitted.len() >= burst as usize);
}

#[tokio::test]
async fn the_highest_rate_and_burst_are_served() {
    let server = Server::with(config(), Keys::open(), limited(1_000_000, 1_000_000)).await;
    let answer = server.get("/things/1", "").await;
    assert_eq!((answer.status, answer.header("x-ratelimit-remaining")), (200, Some("999999")));
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_hop_is_a_client_of_its_own() {
    let limits = LimitsConfig { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..limited(1, 1) };
    let server = Server::with(config(), Keys::open(), limits).await;
    for client in 1..5 {
        let hops = format!("X-Forwarded-For: 192.0.2.9, 198.51.100.{client}\r\n");
        assert_eq!(server.get("/things/1", &hops).await.status, 200);
        let forged = format!("X-Forwarded-For: 203.0.113.{client}, 198.51.100.{client}\r\n");
        assert_eq!(server.get("/things/1", &forged).await.status, 429);
    }
}

#[tokio::test]
async fn a_key_is_one_client_wherever_it_calls_from_and_may_bear_the_name_of_an_address() {
    let proxies = LimitsConfig { trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()], ..limited(1, 2) };
    let server = Server::with(config(), keys(&[line("192.0.2.1", "read")]), proxies).await;
    let from = |client: &str, key: &str| format!("X-Forwarded-For: {client}\r\n{}", bearer(key));
    assert_eq!(server.get("/things/1", &from("192.0.2.1", "guess")).await.status, 401);
    for (client, status) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.3", 429)] {
        assert_eq!(server.get("/things/1", &from(client, "192.0.2.1")).await.status, status);
    }
    assert_eq!(
        server.get("/things/1", &from("192.0.2.1", "guess")).await.status,
        401,
        "not charged to the key"
    );
}

#[tokio::test]
async fn a_flood_of_clients_is_forgotten_once_their_buckets_are_full_again() {
    let limits = LimitsConfig {
        cleanup_interval: Duration::from_millis(100),
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..limited(1000, 1)
    };
    let shared = Limits::new(&limits);
    let mut service = ServiceBuilder::new()
        .layer(identify(&Keys::open(), &limits))
        .layer(shared.http_layer())
        .service(tower::service_fn(async |_: Request| Ok::<_, Infallible>(Response::default())));
    for client in 0..100_000_u32 {
        let mut request = Request::default();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        let address = Ipv4Addr::from_bits(client << 8).to_string();
        request.headers_mut().insert("x-forwarded-for", address.parse().unwrap());
        assert_eq!(service.call(request).await.unwrap().status(), 200);
    }
    let remembered = || {
        shared.measure();
        metric("rate_limit_clients", &[])
    };
    let cleaned = tokio::spawn(shared.clone().clean_up());
    let begun = Instant::now();
    while remembered() > 0.0 {
        assert!(begun.elapsed() < LONG, "{} are remembered", remembered());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cleaned.abort();
}

#[tokio::test]
async fn keys_come_and_go_and_a_broken_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    fs::write(&path, line("old", "read")).unwrap();
    let keys = AuthConfig { api_keys_file: Some(path.clone()) }.keys().unwrap();
    let followed = tokio::spawn(keys.follow(path.clone()).unwrap());
    let config = config();
    let server = Server::serving(
        "keys",
        router(Meeting::default(), &config, &keys, &wide()),
        &config,
        Meeting::default(),
    )
    .await;
    let until = async |key: &str, status: u16| {
        let begun = Instant::now();
        while server.get("/things/1", &bearer(key)).await.status != status {
            assert!(begun.elapsed() < LONG, "{key} is not answered {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    until("old", 200).await;
    fs::write(&path, line("new", "read")).unwrap();
    until("new", 200).await;
    until("old", 401).await;
    let failed = || metric("auth_key_file_reloads_total", &["failed"]);
    let before = failed();
    fs::write(&path, "nonsense").unwrap();
    let begun = Instant::now();
    while failed() == before {
        assert!(begun.elapsed() < LONG, "nobody is told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    until("new", 200).await;
    followed.abort();
}
