//! Telemetry as it is installed for a whole process, which only a process of its own can show: this test
//! binary runs itself again.

use epro_notify::platform::{
    config::Reader,
    telemetry::{Service, SpanExt, TelemetryConfig, init},
};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::mpsc::sync_channel,
    time::Duration,
};
use tracing::{info, info_span};

const PART: &str = "TELEMETRY_TEST_PART";
const DOWN: &str = "telemetry is down";
const CANARY: &str = "canary-of-a-patient";

/// The process that the tests below start; does nothing when it is run as a test.
#[test]
fn the_other_process() {
    let Ok(part) = std::env::var(PART) else { return };
    let config = TelemetryConfig::read(&mut Reader::for_tests(&[]));
    let telemetry = init(&config, Service { name: "a-service", version: "1.2.3" }).unwrap();
    if part == "panics" {
        let span = info_span!(target: "epro_notify::test", "work");
        let _ = span.in_scope(|| std::panic::catch_unwind(|| panic!("{CANARY}")));
        info!(of_span = span.trace_context().unwrap().trace_id(), "last");
        // No shutdown: leaving is enough.
    } else {
        (0..100_000).for_each(|number| info!(number, "nobody reads this"));
        telemetry.shutdown(Duration::from_secs(1));
        // Leaving would have the test harness write to that stdout as well.
        eprintln!("{DOWN}");
    }
}

fn other_process(part: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "telemetry_process::the_other_process", "--nocapture", "--test-threads=1"]);
    command.env(PART, part).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_panic_is_a_line_of_its_span_without_what_it_said() {
    let output = other_process("panics").output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert!(!stdout.contains(CANARY) && !stderr.contains(CANARY), "{stdout}{stderr}");
    // The harness begins a line before the first of ours.
    let lines = stdout.lines().filter_map(|line| line.find('{').and_then(|at| line.get(at..)));
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let [panic, last] = lines.as_slice() else { panic!("{stdout}") };
    assert_eq!((&panic["level"], &panic["message"]), (&"ERROR".into(), &"panicked".into()));
    assert!(panic["fields"]["location"].as_str().unwrap().contains("telemetry_process.rs:"));
    assert_eq!(panic["trace_id"], last["fields"]["of_span"]);
    assert_ne!(panic["trace_id"], last["trace_id"]);
}

#[test]
fn a_reader_of_stdout_that_stalls_cannot_hold_the_process() {
    let mut process = other_process("stalls").spawn().unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
    let (down, told) = sync_channel(1);
    let listen = move || stderr.any(|line| line.contains(DOWN)).then(|| down.send(()));
    std::thread::Builder::new().spawn(listen).unwrap();
    // Nothing is read from its stdout, a pipe that holds far less than its lines.
    let is_down = told.recv_timeout(Duration::from_secs(60)).is_ok();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(is_down, "the process hangs");
}
