//! A reader of stdout that stalls, comes back or goes away: the service goes on, holds bounded memory, and
//! counts each line as written or dropped.

use super::burst;
use crate::support::prelude::*;
use chassis_test::{app::resident, lines, stdout::Piped};
use std::{
    io::BufRead,
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

fn name() -> String {
    "x".repeat(NAME_BYTES)
}

fn start() -> (Site, Piped) {
    let site = Site::new().with("OTEL_SERVICE_NAME", &name());
    let piped = Piped::start(&site);
    (site, piped)
}

/// Waits until everything that was accepted is delivered.
fn until_drained(service: &Piped) {
    until_so("an empty queue", || counted(|| service.metrics()).ledger().of("queued") == 0);
}

/// Lines written and dropped, once no more are added.
fn lines_at_rest(service: &Piped) -> (u64, u64) {
    let mut before = None;
    until("lines at rest", || {
        let page = service.metrics();
        let lines =
            ["written", "dropped"].map(|of| page.sum("telemetry_log_lines_total", &[("outcome", of)]));
        (before.replace(lines) == Some(lines)).then_some((lines[0], lines[1]))
    })
}

#[test]
fn a_reader_that_stalls_and_resumes_gets_every_line_that_is_counted_as_written() {
    let (_site, mut service) = start();
    burst(service.http, BURST);
    until_drained(&service);
    assert!(resident(service.id()) < MOST_RESIDENT);
    let (stalled, dropped) = lines_at_rest(&service);
    assert!(dropped > 0, "the reader did not stall long enough");
    let read = Arc::new(AtomicU64::new(service.read));
    let (reader, counted) = (service.reader.take().unwrap(), Arc::clone(&read));
    let reading = thread::spawn(move || {
        for line in reader.lines() {
            lines::read_one(&line.unwrap(), &name());
            counted.fetch_add(1, SeqCst);
        }
    });
    // Each accept is a line of its request and of its attempt.
    until_so("what was kept is written", || {
        let (written, dropped) = lines_at_rest(&service);
        written > stalled && written + dropped - service.read >= 2 * BURST as u64
    });
    burst(service.http, 80);
    until_drained(&service);
    let (written, dropped_then) = lines_at_rest(&service);
    assert_eq!(dropped_then, dropped, "there was room again");
    until("as many lines are read as were written", || (read.load(SeqCst) == written).then_some(()));
    // Health tells little.
    let (told, accepts) = (written + dropped - service.read, BURST as u64 + 80);
    assert!((2 * accepts..2 * accepts + 10).contains(&told), "{told} lines of {accepts} accepts");
    assert_eq!(service.terminate(), Some(0));
    reading.join().unwrap();
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let (_site, mut service) = start();
    burst(service.http, 80);
    drop(service.reader.take());
    burst(service.http, 400);
    until_drained(&service);
    let (_, dropped) = lines_at_rest(&service);
    assert!(dropped >= 800, "{dropped}");
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn a_reader_that_stalls_cannot_hold_up_the_end() {
    let (_site, mut service) = start();
    burst(service.http, 400);
    assert_eq!(service.terminate(), Some(0));
}

#[test]
fn for_people_a_line_is_words_and_a_trace() {
    let mut site = Site::new().with("APP_LOG__FORMAT", "pretty");
    let service = site.start_quietly();
    let id = service.accept();
    service.until_status(&id, "delivered");
    let output = service.stop_and_read();
    assert!(output.lines().any(|line| line.contains(" attempt finished ") && line.contains(&id)), "{output}");
    for line in output.lines() {
        let trace = line.split("trace_id=").nth(1).unwrap_or_else(|| panic!("{line}"));
        let digits = trace.chars().take_while(char::is_ascii_hexdigit).count();
        assert!(digits == 32 && !line.starts_with('{'), "{line}");
        assert!(!line.contains("p-1") && !line.contains("a reminder"), "{line}");
    }
}
