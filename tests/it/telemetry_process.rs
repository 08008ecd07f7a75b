//! Telemetry as it is installed for a whole process, which only a process of its own can show: this test
//! binary runs itself again.

use epro_notify::platform::{
    config::Reader,
    telemetry::{Service, SpanExt, TelemetryConfig, init},
};
use serde_json::Value;
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use tracing::{info, info_span};

const PART: &str = "TELEMETRY_TEST_PART";
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
    let lines: Vec<Value> = stdout
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [panic, last] = lines.as_slice() else { panic!("{stdout}") };
    assert_eq!((&panic["level"], &panic["message"]), (&"ERROR".into(), &"panicked".into()));
    assert!(panic["fields"]["location"].as_str().unwrap().contains("telemetry_process.rs:"));
    assert_eq!(panic["trace_id"], last["fields"]["of_span"]);
    assert_ne!(panic["trace_id"], last["trace_id"]);
}

#[test]
fn a_reader_of_stdout_that_stalls_cannot_hold_the_process() {
    let mut process = other_process("stalls").spawn().unwrap();
    let begun = Instant::now();
    // Nothing is read from its pipe, which holds far less than its lines.
    while process.try_wait().unwrap().is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the process hangs");
        std::thread::yield_now();
    }
    assert!(process.wait().unwrap().success());
}
