//! What happens at the doors: keys, limits, connections, certificates and whoever speaks something else.

use super::super::{
    caller::{Caller, until_told},
    keys::{CTMS, GREEDY, READER, UNKNOWN},
    stack::{CONNECTIONS, Member, Stack},
};
use chassis_test::until_so;
use serde_json::Value;
use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, TcpStream},
};

/// Callers without a key.
const STRANGERS: u8 = 16;

pub fn play(stack: &Stack) {
    for one in &stack.instances {
        let caller = one.caller();
        caller.with(READER).get("/patients/p-1/reports/latest");
        caller.with(READER).expect(403, "DELETE", "/patients/p-3", &Value::Null);
        caller.with(UNKNOWN).expect(401, "GET", "/dead-letters", &Value::Null);
        caller.with(GREEDY).until_limited("/patients/p-1/reports/latest");
        strangers(one, &caller);
        one.until_counted("http_connections_timed_out_total", &[]);
        crowd(one);
        // Speaks no TLS.
        let mut stream = TcpStream::connect(one.service().grpc).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        one.until_counted("tls_handshakes_failed_total", &[("listener", "grpc")]);
    }
    reloads(stack);
}

/// Callers without a key from many addresses, and one of them never sends a head.
fn strangers(one: &Member, caller: &Caller) {
    let _silent = TcpStream::connect(one.service().http).unwrap();
    for last in 1..=STRANGERS {
        let address = IpAddr::V4(Ipv4Addr::new(127, 0, 1, last));
        caller.with(UNKNOWN).from(address).ask("GET", "/dead-letters", "");
    }
    until_so("the strangers are remembered", || one.count("rate_limit_clients", &[]) >= u64::from(STRANGERS));
    until_so("the silent one is closed", || one.count("http_connections_timed_out_total", &[]) > 0);
}

/// More connections than there may be; at once, as silent ones are closed.
fn crowd(one: &Member) {
    let (http, mut open) = (one.service().http, Vec::new());
    until_so("all places are taken", || {
        open.extend((0..=CONNECTIONS).map_while(|_| TcpStream::connect(http).ok()));
        one.count("http_connections_limit_reached_total", &[("listener", "http")]) > 0
    });
}

/// Files that are broken and made whole again.
fn reloads(stack: &Stack) {
    let all = |name: &str, outcome: &str| {
        stack.instances.iter().for_each(|one| one.until_counted(name, &[("outcome", outcome)]));
    };
    stack.files.break_keys();
    stack.files.break_certificate();
    stack.files.break_ctms_key();
    all("auth_key_file_reloads_total", "failed");
    all("tls_certificate_reloads_total", "failed");
    stack.ctms.until_counted("rpc_client_key_reloads_total", &[("outcome", "failed")]);
    stack.files.write_keys();
    stack.files.renew_certificate();
    // A key that nobody knows there: ctms is let in no more.
    stack.files.write_ctms_key(UNKNOWN);
    all("auth_key_file_reloads_total", "ok");
    all("tls_certificate_reloads_total", "ok");
    let ctms = stack.ctms.caller();
    until_told("ctms is not let in", || {
        ctms.ask("GET", "/patients/p-1/latest-report", "");
        stack.ctms.count("ctms_report_answers_total", &[("reason", "misconfigured")]) > 0
    });
    stack.files.write_ctms_key(CTMS);
    until_told("ctms is let in again", || ctms.ask("GET", "/patients/p-1/latest-report", "").status == 200);
}
