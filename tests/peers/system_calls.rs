//! What the service does at the kernel's door, as strace sees it.

mod trace;

use self::trace::{Trace, Violation, every_202_follows_a_sync};
use crate::service::{Connection, Service, need};
use std::thread;

const CONNECTIONS: usize = 4;
const REQUESTS: usize = 25;

/// Accepts over several connections at once, so that answers share commits.
fn accept_under_strace(query: &str) -> Result<usize, Violation> {
    need("strace");
    let service = Service::start_traced(query);
    let http = service.http;
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| thread::spawn(move || send(http))).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    every_202_follows_a_sync(&Trace::parse(&service.stop_traced()))
}

fn send(http: std::net::SocketAddr) {
    let mut connection = Connection::open(http).unwrap();
    for number in 0..REQUESTS {
        let body = format!(r#"{{"patientId":"p-{number}","message":"a reminder"}}"#);
        let (status, answer) = connection.send("POST", "/api/v1/notifications/sms/async", &body).unwrap();
        assert_eq!(status, 202, "{answer}");
    }
}

#[test]
fn every_202_follows_a_sync_that_began_after_its_request_had_arrived() {
    match accept_under_strace("") {
        Ok(proven) => assert_eq!(proven, CONNECTIONS * REQUESTS, "the trace does not show every answer"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn without_synchronous_the_same_proof_fails() {
    assert!(accept_under_strace("?synchronous=off").is_err(), "a service that never syncs passed");
}
