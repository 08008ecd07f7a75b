//! A million clients behind a trusted proxy: the memory that they take, and that it is given back.

use crate::{
    caller::{Caller, address},
    figures::Figures,
    memory::{mb, resident},
    support::{
        service::{Service, Site},
        wait::until_so,
    },
};
use epro_notify::platform::limits::{
    Client, Clock, Limiter, Surface,
    config::{LimitsConfig, PerClient},
};
use std::{
    hint::black_box,
    net::{IpAddr, Ipv6Addr},
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
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
    at_once(figures, part).await;
    one_after_the_other(figures, part).await;
}

/// The buckets alone, in this process: all clients come while no bucket refills.
async fn at_once(figures: &mut Figures, part: u32) {
    let config = LimitsConfig {
        per_client: PerClient { rate: 1, burst: 1 },
        max_clients: CLIENTS as usize,
        trusted_proxies: Vec::new(),
    };
    let time = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&time);
    let limiter = Limiter::with_clock(&config, Clock::new(move || Duration::from_secs(clock.load(SeqCst))));
    let before = resident(std::process::id());
    ask_for(&limiter, 0..CLIENTS / part).await;
    let taken = resident(std::process::id()).saturating_sub(before);
    let count = CLIENTS / part;
    figures.judge(
        &format!("{count} clients at once: memory taken"),
        &format!("≤ {}", mb(MOST)),
        mb(taken),
        taken <= MOST,
    );
    time.store(60, SeqCst);
    let cleaning = tokio::spawn(limiter.clone().keep_clean());
    let kept = || resident(std::process::id()).saturating_sub(before);
    let since = Instant::now();
    while kept() > KEPT && since.elapsed() < Duration::from_secs(30) {
        // A few clients still come, as they do.
        ask_for(&limiter, 0..100).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cleaning.abort();
    figures.judge(
        "the same, kept once they are forgotten",
        &format!("≤ {}", mb(KEPT)),
        mb(kept()),
        kept() <= KEPT,
    );
}

/// One request of each of these clients, from the threads that serve requests.
async fn ask_for(limiter: &Limiter, clients: Range<u32>) {
    const ASKERS: usize = 16;
    let mut asking = JoinSet::new();
    for first in 0..ASKERS {
        let (limiter, clients) = (limiter.clone(), clients.clone());
        asking.spawn(async move {
            // The allocator gives a thread's free pages back while that thread asks for pieces of many sizes, as
            // it does for requests; an idle one keeps them.
            [100_000, 1_000_000, 30_000].into_iter().for_each(|size| drop(black_box(vec![1_u8; size])));
            for number in clients.skip(first).step_by(ASKERS) {
                limiter.check(&Client::Network(IpAddr::from(client(number)).into()), Surface::Http);
            }
        });
    }
    asking.join_all().await;
}

/// Through the service, as fast as it goes.
async fn one_after_the_other(figures: &mut Figures, part: u32) {
    // The slowest buckets that there are: a client is remembered for a second after its request.
    let site = Site::new()
        .with("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.0/8")
        .with("APP_LIMITS__PER_CLIENT__RATE", "1")
        .with("APP_LIMITS__PER_CLIENT__BURST", "1")
        // No line a request, but the one that says that it is ready.
        .with("RUST_LOG", "off,epro_notify::app=info");
    let service = site.start();
    let before = resident(service.id());
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
        peak = peak.max(resident(service.id()));
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
    let kept = resident(service.id()).saturating_sub(before);
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
