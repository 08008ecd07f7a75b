//! The end of the whole process: its order, its exit code, and what cuts it short.

use crate::support::{
    http::{Answer, LONG},
    process::{Process, ask},
};
use rustix::process::Signal;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

const SMS: &str = "/api/v1/notifications/sms/async";

/// Begins a request and sends the rest of it later.
fn begin(process: &Process) -> (TcpStream, &'static str) {
    let body = r#"{"patientId":"p-1","message":"hello"}"#;
    let mut stream = TcpStream::connect(process.http).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let (half, rest) = body.split_at(10);
    let head = format!("Host: test\r\nContent-Type: application/json\r\nContent-Length: {}", body.len());
    write!(stream, "POST {SMS} HTTP/1.1\r\n{head}\r\n\r\n{half}").unwrap();
    (stream, rest)
}

/// A request is in hand when the service says so.
fn await_in_flight(process: &Process) {
    while !ask(process.admin, "/metrics").unwrap().body.contains("\nhttp_requests_in_flight 1\n") {
        std::thread::yield_now();
    }
}

#[test]
fn it_is_not_ready_before_it_stops_and_both_signals_stop_it_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let process = Process::start(&[("APP_SHUTDOWN__NOT_READY_FOR", "1s")]);
        process.await_page("/readyz", 200);
        process.signal(signal);
        process.await_page("/readyz", 503);
        assert_eq!(
            ask(process.http, "/nowhere").unwrap().status,
            404,
            "it stopped while balancers still send"
        );
        assert_eq!(ask(process.admin, "/livez").unwrap().status, 200);
        assert_eq!(process.wait().0, Some(0));
    }
}

#[test]
fn a_request_in_hand_is_answered_before_the_end() {
    let process = Process::start(&[]);
    let (mut stream, rest) = begin(&process);
    await_in_flight(&process);
    process.signal(Signal::TERM);
    process.await_page("/readyz", 503);
    stream.write_all(rest.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(Answer::parse(&answer).status, 202);
    let (code, lines) = process.wait();
    assert_eq!(code, Some(0));
    assert!(lines.contains(r#""status":202"#) && lines.contains(r#""message":"stopped""#), "{lines}");
}

#[test]
fn a_request_that_never_ends_cannot_hold_it_past_its_deadline() {
    let process =
        Process::start(&[("APP_SHUTDOWN__DRAIN_DEADLINE", "100ms"), ("APP_HTTP__BODY_TIMEOUT", "10m")]);
    let _held = begin(&process);
    await_in_flight(&process);
    process.signal(Signal::TERM);
    let (code, lines) = process.wait();
    assert_eq!(code, Some(70));
    assert!(lines.contains("deadline"), "{lines}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let process = Process::start(&[("APP_SHUTDOWN__NOT_READY_FOR", "10m")]);
    process.signal(Signal::TERM);
    process.await_page("/readyz", 503);
    process.signal(Signal::INT);
    let (code, lines) = process.wait();
    assert_eq!(code, Some(70));
    assert!(lines.contains("second signal"), "{lines}");
}
