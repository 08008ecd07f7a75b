//! A burst of accepts, and what it costs the process that takes it.

use crate::support::{
    client::Connection,
    service::{ASYNC, MESSAGE, Service},
    telemetry::{Account, value},
    wait::until,
};
use std::{
    fs,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

const CLIENTS: usize = 8;
/// An answer that waits for a receiver of telemetry takes longer, an answer on a busy machine does not.
const AT_ONCE: Duration = Duration::from_secs(8);

/// Has so many notifications accepted, and fails if one of them waits.
pub fn burst(http: SocketAddr, count: usize) {
    let client = |share: usize| {
        let mut connection = Connection::open(http).unwrap();
        for _ in 0..share {
            let begun = Instant::now();
            let answer = connection.send("POST", ASYNC, MESSAGE).unwrap();
            assert_eq!(answer.status, 202, "{answer:?}");
            assert!(begun.elapsed() < AT_ONCE, "an answer took {:?}", begun.elapsed());
        }
    };
    thread::scope(|scope| {
        (0..CLIENTS).for_each(|_| drop(scope.spawn(|| client(count / CLIENTS))));
    });
}

/// Memory that the process holds, in bytes.
pub fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

/// The account of spans, once all that were accepted are delivered and no span is added or waits.
pub fn account_at_rest(service: &Service) -> Account {
    service.until_drained();
    let mut before = None;
    until("an account at rest", || {
        let account = Account::of(&service.metrics().0);
        let same = before.replace(account) == Some(account);
        (same && account.queued == 0 && account.is_exact()).then_some(account)
    })
}

/// Lines written and dropped, once no more are added.
pub fn lines_at_rest(metrics: impl Fn() -> String) -> (u64, u64) {
    let mut before = None;
    until("lines at rest", || {
        let page = metrics();
        let lines = ["written", "dropped"]
            .map(|of| value(&page, &format!("telemetry_log_lines_total{{outcome=\"{of}\"}}")));
        (before.replace(lines) == Some(lines)).then_some((lines[0], lines[1]))
    })
}
