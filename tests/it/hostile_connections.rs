//! Too many connections, and thousands of slow ones, against the real service.

use crate::support::{
    client::{Connection, ask},
    metrics_page::MetricsPage,
    process::Process,
    service::Site,
    wait::until_so,
};
use epro_notify::platform::http::raise_open_files;
use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

/// As the contract has it; fewer where the machine allows fewer open files.
const SLOW: u64 = 10_000;

#[test]
fn thousands_of_slow_connections_do_not_stop_a_fast_caller() {
    // Both processes need a file for each, and the other tests of this one need some.
    let files = raise_open_files().unwrap_or(u64::MAX);
    let slow = SLOW.min(files.saturating_sub(1000));
    assert!(slow >= 2000, "with {files} open files this shows nothing");
    let service = Site::new().with("APP_HTTP__HEADER_TIMEOUT", "2m").start();
    let before = service.metrics().sum("process_resident_memory_bytes", &[]);
    let begun = ["", "G", "GET /slow HTTP/1.1\r\nx: ", "PRI * HTTP/2.0\r\n"];
    let held: Vec<TcpStream> = (0..slow)
        .zip(begun.iter().cycle())
        .map(|(_, begun)| {
            let mut stream = TcpStream::connect(service.http).unwrap();
            stream.write_all(begun.as_bytes()).unwrap();
            stream
        })
        .collect();
    let open = || service.metrics().sum("http_connections", &[("listener", "http")]);
    until_so("all are open", || open() == slow);
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let begun = Instant::now();
        service.accept();
        slowest = slowest.max(begun.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?} beside {slow} slow ones");
    let grown = service.metrics().sum("process_resident_memory_bytes", &[]).saturating_sub(before);
    assert!(grown / slow < 20 * 1024, "{grown} bytes for {slow} connections");
    println!("{slow} slow connections: {} KiB, slowest answer {slowest:?}", grown / 1024);
    drop(held);
    until_so("all are closed", || open() == 0);
    service.stop();
}

#[test]
fn a_full_listener_is_told_and_the_admin_listener_answers_all_the_same() {
    let mut process =
        Process::start(&[("APP_HTTP__MAX_CONNECTIONS", "2"), ("APP_HTTP__HEADER_TIMEOUT", "5m")]);
    let held: Vec<_> = (0..2).map(|_| TcpStream::connect(process.http).unwrap()).collect();
    process.await_line("as many connections are open as are allowed, more wait");
    let mut waiting = Connection::open(process.http).unwrap();
    let page = ask(process.admin, "GET", "/metrics", "").unwrap();
    let page = MetricsPage(page.body);
    assert_eq!(page.sum("http_connections", &[("listener", "http")]), 2);
    assert_eq!(page.sum("http_connections_limit_reached_total", &[("listener", "http")]), 1);
    drop(held);
    assert_eq!(waiting.send("GET", "/nowhere", "").unwrap().status, 404);
}
