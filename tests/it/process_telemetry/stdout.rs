//! A reader of stdout that stalls, comes back or goes away: the service goes on, holds bounded memory, and
//! counts each line as written or dropped.

use super::{
    burst::{burst, lines_at_rest, resident},
    lines,
};
use crate::support::{
    client::ask,
    service::Site,
    wait::{until, until_so},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

/// A service whose name makes each of its lines long, so that few of them are more than may wait.
const NAME_BYTES: usize = 8000;
const BURST: usize = 1600;
/// What may wait, the service itself, and what the allocator keeps.
const MOST_RESIDENT: u64 = 96 * 1024 * 1024;

/// A service that writes into a pipe.
struct Piped {
    process: Child,
    reader: Option<BufReader<ChildStdout>>,
    /// Lines until it was ready.
    read: u64,
    http: SocketAddr,
    admin: SocketAddr,
    _site: Site,
}

impl Piped {
    /// Reads until the service says that it is ready, and no further.
    fn start() -> Self {
        let site = Site::new().with("OTEL_SERVICE_NAME", &name());
        let mut process = site.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut reader = BufReader::new(process.stdout.take().unwrap());
        let mut read = 0;
        let ready = loop {
            let mut line = String::new();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "it ended before it was ready");
            read += 1;
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "ready" {
                break line;
            }
        };
        let address = |name: &str| ready["fields"][name].as_str().unwrap().parse().unwrap();
        let (http, admin) = (address("http"), address("admin"));
        Self { process, reader: Some(reader), read, http, admin, _site: site }
    }

    fn metrics(&self) -> String {
        ask(self.admin, "GET", "/metrics", "").unwrap().body
    }

    /// Waits until everything that was accepted is delivered.
    fn until_drained(&self) {
        let queued = "notification_ledger_jobs{state=\"queued\"} 0";
        until_so("an empty queue", || self.metrics().contains(queued));
    }

    fn terminate(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        until("the service ends", || self.process.try_wait().unwrap()).code()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_reader_that_stalls_and_resumes_gets_every_line_that_is_counted_as_written() {
    let mut service = Piped::start();
    burst(service.http, BURST);
    service.until_drained();
    assert!(resident(service.process.id()) < MOST_RESIDENT);
    let (stalled, dropped) = lines_at_rest(|| service.metrics());
    assert!(dropped > 0, "the reader did not stall long enough");
    let read = Arc::new(AtomicU64::new(service.read));
    let (reader, counted) = (service.reader.take().unwrap(), Arc::clone(&read));
    let reading = thread::spawn(move || {
        for line in reader.lines() {
            lines::read_named(&line.unwrap(), &name());
            counted.fetch_add(1, SeqCst);
        }
    });
    until_so("lines are written again", || lines_at_rest(|| service.metrics()).0 > stalled);
    burst(service.http, 80);
    service.until_drained();
    let (written, dropped_then) = lines_at_rest(|| service.metrics());
    assert_eq!(dropped_then, dropped, "there was room again");
    until("as many lines are read as were written", || (read.load(SeqCst) == written).then_some(()));
    // Each accept is a line of its request, of its message and of its attempt; health tells little.
    let (told, accepts) = (written + dropped - service.read, BURST as u64 + 80);
    assert!((3 * accepts..3 * accepts + 10).contains(&told), "{told} lines of {accepts} accepts");
    assert_eq!(service.terminate(), Some(0));
    reading.join().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let mut service = Piped::start();
    burst(service.http, 80);
    drop(service.reader.take());
    burst(service.http, 400);
    service.until_drained();
    let (_, dropped) = lines_at_rest(|| service.metrics());
    assert!(dropped >= 1200, "{dropped}");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_reader_that_stalls_cannot_hold_up_the_end() {
    let mut service = Piped::start();
    burst(service.http, 400);
    assert_eq!(service.terminate(), Some(0));
}

fn name() -> String {
    "x".repeat(NAME_BYTES)
}
