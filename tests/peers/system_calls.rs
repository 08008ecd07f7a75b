//! What the service does at the kernel's door, as strace sees it.

mod trace;
mod traced;

use self::{
    trace::{Trace, Violation, every_202_follows_a_sync},
    traced::Traced,
};
use crate::{
    need,
    support::service::{ASYNC, MESSAGE},
};
use chassis_test::Connection;
use std::thread;

const CONNECTIONS: usize = 4;
const REQUESTS: usize = 25;

/// Accepts over several connections at once, so that answers share commits.
fn accept_under_strace(query: &str) -> Result<usize, Violation> {
    need("strace");
    let traced = Traced::start(query);
    let http = traced.service.http;
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| thread::spawn(move || send(http))).collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    every_202_follows_a_sync(&Trace::parse(&traced.stop()))
}

fn send(http: std::net::SocketAddr) {
    let mut connection = Connection::open(http).unwrap();
    for _ in 0..REQUESTS {
        let answer = connection.send("POST", ASYNC, MESSAGE).unwrap();
        assert_eq!(answer.status, 202, "{answer:?}");
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
