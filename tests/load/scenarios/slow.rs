//! Ten thousand connections that trickle their headers, beside a client that does not.

use crate::{
    caller::{Caller, address},
    figures::{Figures, mb, ms, quantile},
    support::service::{ASYNC, MESSAGE, Service, Site},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const SLOW: u32 = 10_000;
const ASKED: usize = 500;

pub async fn run(figures: &mut Figures, part: u32) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let service = Site::new().start();
    let alone = fast(&service).await;
    let before = service.resident();
    let mut slow = JoinSet::new();
    for number in 0..SLOW / part {
        let service = service.http;
        // From many addresses, as ports are few.
        slow.spawn(async move {
            loop {
                trickle(service, number).await;
            }
        });
    }
    let opened = Instant::now();
    while open(&service) < u64::from(SLOW / part) * 99 / 100 && opened.elapsed() < Duration::from_secs(9) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    figures.tell("slow connections open", open(&service).to_string());
    let beside = fast(&service).await;
    figures.tell("memory that they take", mb(service.resident().saturating_sub(before)));
    figures.tell("p99 of a fast client alone", ms(alone));
    let holds = beside < Duration::from_millis(100);
    figures.judge("p99 of a fast client beside them", "< 100 ms", ms(beside), holds);
    let cut = || service.metrics().sum("http_connections_timed_out_total", &[]);
    let began = Instant::now();
    while cut() < u64::from(SLOW / part) && began.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let cut = cut();
    figures.judge("slow connections cut off", "each", cut.to_string(), cut >= u64::from(SLOW / part));
    drop(slow);
    service.stop();
}

/// A connection that sends a byte of its headers each second, until it is cut off.
async fn trickle(service: std::net::SocketAddr, number: u32) {
    let Ok(mut caller) = Caller::open(service, address(1 + number % 200)).await else {
        return tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let head = b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nx-slow: ";
    for byte in head.iter().chain(std::iter::repeat(&b'x')) {
        if caller.write(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// The p99 of a client that asks again as soon as it was answered.
async fn fast(service: &Service) -> Duration {
    let mut caller = Caller::open(service.http, address(0)).await.unwrap();
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let asked = Instant::now();
        let answer = caller.ask("POST", ASYNC, "", MESSAGE).await.unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
        took.push(asked.elapsed());
    }
    quantile(&mut took, 0.99)
}

fn open(service: &Service) -> u64 {
    service.metrics().sum("http_connections", &[])
}
