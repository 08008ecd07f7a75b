//! A million clients behind a trusted proxy: the memory that they take, and that it is given back.

use crate::{
    caller::{Caller, address},
    figures::{Figures, mb},
    support::service::{Service, Site},
};
use chassis_test::until_so;
use std::{
    net::Ipv6Addr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const CLIENTS: u32 = 1_000_000;
const CONNECTIONS: u32 = 16;
/// Above what it took before, in bytes: 64 a client.
const MOST: u64 = 64_000_000;
/// Above what it took before, once all are forgotten.
const KEPT: u64 = 16_000_000;

pub async fn run(figures: &mut Figures, part: u32) {
    // The slowest buckets that there are: a client is remembered until the first cleaning a second after its request.
    let site = Site::new()
        .with("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.0/8")
        .with("APP_LIMITS__PER_CLIENT__RATE", "1")
        .with("APP_LIMITS__PER_CLIENT__BURST", "1")
        .with("APP_LIMITS__CLEANUP_INTERVAL", "1s")
        // No line a request, but the one that says that it is ready.
        .with("RUST_LOG", "off,epro_notify::app=info");
    let service = site.start();
    let before = service.resident();
    let began = Instant::now();
    let mut connections = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let (service, from) = (service.http, address(0));
        connections.spawn(async move {
            let mut caller = Caller::open(service, from).await.unwrap();
            for number in (connection..CLIENTS / part).step_by(CONNECTIONS as usize) {
                let header = format!("x-forwarded-for: {}\r\n", client(number));
                let answer = caller.ask("GET", "/nothing", &header, "").await.unwrap();
                assert_eq!(answer.status, 404, "each is a client of its own");
            }
        });
    }
    let mut peak = before;
    let mut most_remembered = 0;
    while !connections.is_empty() {
        tokio::select! {
            _ = connections.join_next() => {}
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
        peak = peak.max(service.resident());
        most_remembered = most_remembered.max(remembered(&service));
    }
    figures.tell(
        "distinct clients, and at how many a second",
        format!("{}, {:.0}", CLIENTS / part, f64::from(CLIENTS / part) / began.elapsed().as_secs_f64()),
    );
    figures.tell("clients remembered at once, at most", most_remembered.to_string());
    let taken = peak - before;
    figures.judge("memory taken", &format!("≤ {}", mb(MOST)), mb(taken), taken <= MOST);
    until_so("all clients are forgotten", || remembered(&service) == 0);
    let kept = service.resident().saturating_sub(before);
    figures.judge("memory kept once they are forgotten", &format!("≤ {}", mb(KEPT)), mb(kept), kept <= KEPT);
    service.stop();
}

/// A client of its own for each number.
fn client(number: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(number) << 64)
}

fn remembered(service: &Service) -> u64 {
    service.metrics().sum("rate_limit_clients", &[])
}
