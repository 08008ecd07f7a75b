//! Routes that are shed, and watched ones whose slowness does it, on a server of the platform's own.

use crate::support::http::{LONG, config, read_to_end};
use epro_notify::platform::{
    admission::Admission,
    auth::{Keys, Scope},
    config::Reader,
    http::{Listener, Routes, Stack, bind, serve},
    limits::{Limiter, config::LimitsConfig},
    resilience::{Degradation, DegradationConfig, Feature},
    task,
};
use std::{net::SocketAddr, time::Duration};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};
use tokio_util::sync::CancellationToken;

const PREVIEW: Feature = Feature { name: "preview", level: 1 };
const SLOW: Duration = Duration::from_millis(150);

/// A server whose `/slow` is watched and takes its time.
async fn start(degradation: &Degradation, keys: Keys) -> SocketAddr {
    let routes = Routes::<()>::new()
        .get("/preview", Scope::Read, async || "drawn")
        .shed_as("/preview", PREVIEW)
        .get("/slow", Scope::Read, async || tokio::time::sleep(SLOW).await)
        .watched("/slow");
    let limits = LimitsConfig::read(&mut Reader::for_tests(&[]));
    let admission = Admission::new(keys, Limiter::new(&limits), &limits);
    let stack = Stack::shedding(routes, &config(), Some(admission), Some(degradation.clone())).unwrap();
    let tcp = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = tcp.local_addr().unwrap();
    let listener = Listener::new("http", tcp, None);
    task::spawn(serve(listener, stack, config().limits(), |_| false, CancellationToken::new()));
    address
}

async fn ask(address: SocketAddr, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    String::from_utf8(read_to_end(&mut stream).await).unwrap()
}

fn configured() -> Degradation {
    let config = DegradationConfig {
        latency: SLOW / 3,
        hold: Duration::from_millis(500),
        ..DegradationConfig::default()
    };
    Degradation::configured(&[PREVIEW], config)
}

#[tokio::test]
async fn a_shed_route_is_answered_before_anybody_asks_who_calls() {
    let degradation = configured();
    let address = start(&degradation, Keys::of(vec![])).await;
    assert!(ask(address, "GET", "/preview").await.starts_with("HTTP/1.1 401 "));
    degradation.pin(Some(1)).unwrap();
    for method in ["GET", "HEAD"] {
        let answer = ask(address, method, "/preview").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 30\r\n"), "{answer}");
        assert!(!answer.contains("ratelimit"), "{answer}");
        assert_eq!(answer.contains("/problems/degraded"), method == "GET", "{answer}");
    }
    // What would not have been served is not shed either.
    assert!(ask(address, "OPTIONS", "/preview").await.starts_with("HTTP/1.1 204 "));
    assert!(ask(address, "POST", "/preview").await.starts_with("HTTP/1.1 401 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_watched_calls_shed_a_route_and_it_comes_back_by_itself() {
    let degradation = configured();
    let address = start(&degradation, Keys::open()).await;
    let watching = task::spawn(degradation.run(Vec::new()));
    let level = async |wanted: u8, calls: usize| {
        while degradation.level() != wanted {
            let calls = (0..calls).map(|_| ask(address, "GET", "/slow"));
            futures_util::future::join_all(calls).await;
            tokio::task::yield_now().await;
        }
    };
    assert!(ask(address, "GET", "/preview").await.ends_with("drawn"));
    timeout(LONG, level(1, 30)).await.unwrap();
    assert!(ask(address, "GET", "/preview").await.starts_with("HTTP/1.1 503 "));
    // Slow ones are still too few to say anything.
    timeout(LONG, level(0, 1)).await.unwrap();
    assert!(ask(address, "GET", "/preview").await.ends_with("drawn"));
    watching.abort();
}
