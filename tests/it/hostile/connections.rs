//! Too many connections, and thousands of slow ones, against the real service.

use crate::support::prelude::*;
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
    let files = chassis_test::raw::most_open_files();
    let slow = SLOW.min(files.saturating_sub(1000));
    assert!(slow >= 2000, "with {files} open files this shows nothing");
    // The service raises its own limit.
    let mut site = Site::new().with("APP_HTTP__HEADER_TIMEOUT", "2m");
    let shell = ["/bin/sh", "-c", "ulimit -S -n 256 && exec \"$0\" \"$@\""];
    site.under = shell.map(Into::into).to_vec();
    let service = site.start();
    let before = service.resident();
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
    let grown = service.resident().saturating_sub(before);
    assert!(grown / slow < 20 * 1024, "{grown} bytes for {slow} connections");
    println!("{slow} slow connections: {} KiB, slowest answer {slowest:?}", grown / 1024);
    drop(held);
    until_so("all are closed", || open() == 0);
}

#[test]
fn a_full_listener_is_told_and_the_admin_listener_answers_all_the_same() {
    let service =
        Site::new().with("APP_HTTP__MAX_CONNECTIONS", "2").with("APP_HTTP__HEADER_TIMEOUT", "5m").start();
    let held: Vec<_> = (0..2).map(|_| TcpStream::connect(service.http).unwrap()).collect();
    let of_http = [("listener", "http")];
    until_so("both are open", || service.metrics().sum("http_connections", &of_http) == 2);
    let mut waiting = Connection::open(service.http).unwrap();
    // Again and again, so that an alert sees that it lasts.
    until_so("it is counted", || {
        service.metrics().sum("http_connections_limit_reached_total", &of_http) >= 3
    });
    drop(held);
    assert_eq!(waiting.send("GET", "/nowhere", "").unwrap().status, 404);
}

#[test]
fn running_out_of_files_is_survived_and_told() {
    let mut site = Site::new();
    let shell = ["/bin/sh", "-c", "ulimit -n 64 && exec \"$0\" \"$@\""];
    site.under = shell.map(Into::into).to_vec();
    let service = site.start();
    let held: Vec<_> = (0..100).map(|_| TcpStream::connect(service.http).unwrap()).collect();
    until_so("it is told", || service.output().contains("cannot accept"));
    drop(held);
    assert_eq!(service.get("/nowhere").status, 404);
    assert_eq!(service.admin("GET", "/livez", "").status, 200);
}
