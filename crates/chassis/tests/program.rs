//! The life of a process: the program `examples/minimal.rs` from outside, as `cargo test -p chassis` builds it.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdout, Command, Output, Stdio},
    time::Duration,
};

fn program(variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let mut command = Command::new(path.join("minimal"));
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    command
}

fn output(variables: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program(variables, arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A running service. It is killed when this is dropped.
struct Running {
    process: Child,
    stdout: BufReader<ChildStdout>,
    http: SocketAddr,
    admin: SocketAddr,
}

impl Running {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut command =
            program(variables, &["--set", "http.listen=127.0.0.1:0", "--set", "admin.listen=127.0.0.1:0"]);
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let ready = await_line(&mut stdout, "ready");
        let address = |name: &str| ready["fields"][name].as_str().unwrap().parse().unwrap();
        Self { process, stdout, http: address("http"), admin: address("admin") }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// The exit code and the lines since it was ready.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut lines = String::new();
        self.stdout.read_to_string(&mut lines).unwrap();
        (self.process.wait().unwrap().code(), lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn await_line(stdout: &mut BufReader<ChildStdout>, message: &str) -> serde_json::Value {
    loop {
        let mut line = String::new();
        assert!(stdout.read_line(&mut line).unwrap() > 0, "it ended before it wrote {message}");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["message"] == message {
            return line;
        }
    }
}

/// Sends a request and leaves the answer to be read.
fn send(address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    stream
}

fn read(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Asks until the answer has this status.
fn await_status(address: SocketAddr, path: &str, status: &str) {
    while !read(send(address, path)).starts_with(&format!("HTTP/1.1 {status}")) {
        std::thread::yield_now();
    }
}

#[test]
fn both_signals_end_it_with_0_after_it_was_not_ready_for_a_while() {
    for signal in [Signal::TERM, Signal::INT] {
        let service = Running::start(&[("APP_SHUTDOWN__NOT_READY_FOR", "500ms")]);
        await_status(service.admin, "/readyz", "200");
        service.signal(Signal::HUP);
        service.signal(signal);
        await_status(service.admin, "/readyz", "503");
        assert!(read(send(service.http, "/")).ends_with("hello"), "it closed while balancers still send");
        assert!(read(send(service.admin, "/livez")).ends_with("ok\n"));
        let (code, lines) = service.ended();
        assert_eq!(code, Some(0), "{lines}");
        assert!(lines.contains("\"message\":\"stopped\""), "{lines}");
    }
}

#[test]
fn a_request_in_hand_is_answered_before_the_end() {
    let mut service = Running::start(&[("APP_HTTP__LATENCY", "500ms")]);
    let answer = send(service.http, "/");
    await_line(&mut service.stdout, "a request is in hand");
    service.signal(Signal::TERM);
    assert!(read(answer).ends_with("hello"));
    assert_eq!(service.ended().0, Some(0));
}

#[test]
fn a_drain_past_its_deadline_ends_with_70() {
    let mut service =
        Running::start(&[("APP_HTTP__LATENCY", "1h"), ("APP_SHUTDOWN__DRAIN_DEADLINE", "100ms")]);
    let _held = send(service.http, "/");
    await_line(&mut service.stdout, "a request is in hand");
    service.signal(Signal::TERM);
    let (code, lines) = service.ended();
    assert_eq!(code, Some(70), "{lines}");
    assert!(lines.contains("the drain deadline passed"), "{lines}");
}

#[test]
fn a_second_signal_ends_it_at_once_with_70() {
    let service = Running::start(&[("APP_SHUTDOWN__NOT_READY_FOR", "10m")]);
    service.signal(Signal::TERM);
    await_status(service.admin, "/readyz", "503");
    service.signal(Signal::INT);
    let (code, lines) = service.ended();
    assert_eq!(code, Some(70), "{lines}");
    assert!(lines.contains("a second signal came"), "{lines}");
}

#[test]
fn the_panic_of_an_essential_task_ends_it_with_70_and_is_logged() {
    let service =
        Running::start(&[("APP_WORKER__PANIC_AFTER", "10ms"), ("APP_SHUTDOWN__NOT_READY_FOR", "10m")]);
    let (code, lines) = service.ended();
    assert_eq!(code, Some(70), "{lines}");
    assert!(lines.contains("worker ended"), "{lines}");
}

#[test]
fn a_taken_port_ends_it_with_70_and_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _listener = TcpListener::bind(taken).unwrap();
    let (code, lines, _) =
        output(&[("APP_HTTP__LISTEN", &taken.to_string()), ("APP_ADMIN__LISTEN", "127.0.0.1:0")], &[]);
    assert_eq!(code, Some(70), "{lines}");
    assert!(lines.contains(&taken.to_string()), "{lines}");
}

#[test]
fn bad_configuration_and_usage_end_with_64_and_a_line_for_each_fault_before_a_port_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let variables =
        [("APP_ADMIN__LISTEN", address.as_str()), ("APP_HTTP__LISTEN", "0.0.0.0:1"), ("APP_NO__SUCH", "")];
    let (code, stdout, stderr) = output(&variables, &["--set", "worker.panic_after=soon"]);
    assert_eq!((code, stdout.as_str(), stderr.lines().count()), (Some(64), "", 3), "{stderr}");
    assert!(stderr.contains("other machines would reach it without a key"), "{stderr}");
    for arguments in
        [&["--no-such"][..], &["no-such"], &["--config"], &["--config", "/no/such.toml"], &["new-key", "a b"]]
    {
        let (code, stdout, stderr) = output(&[], arguments);
        assert_eq!(
            (code, stdout.as_str(), stderr.lines().count()),
            (Some(64), "", 1),
            "{arguments:?}: {stderr}"
        );
    }
}

#[test]
fn two_listeners_on_one_address_are_a_fault() {
    let (code, _, stderr) = output(&[("APP_ADMIN__LISTEN", "127.0.0.1:8080")], &["check-config"]);
    assert_eq!(code, Some(64));
    assert!(stderr.contains("is the address of http.listen too"), "{stderr}");
}

#[test]
fn commands_print_and_end_with_0() {
    for (arguments, expected) in [
        (&["check-config"][..], "the configuration is valid\n"),
        (&["openapi"], "{}\n"),
        (&["--help"], "healthcheck"),
        (&["--version"], "minimal"),
    ] {
        let (code, stdout, stderr) = output(&[], arguments);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(stdout.contains(expected), "{arguments:?}: {stdout}");
    }
    // Needs no configuration: it may be broken because the key is missing.
    let (code, stdout, _) =
        output(&[("APP_NO__SUCH", "1")], &["new-key", "someone", "--scopes", "send,read"]);
    let (key, line) = stdout.trim().split_once('\n').unwrap();
    assert_eq!((code, key.len()), (Some(0), "minimal_".len() + 52));
    assert!(line.starts_with("someone:send,read:") && !line.contains(key), "{line}");
}

#[test]
fn the_health_check_passes_on_the_verdict_and_its_reasons() {
    let service = Running::start(&[("APP_SHUTDOWN__NOT_READY_FOR", "10m")]);
    let admin = service.admin.to_string();
    // Other settings may have become wrong since the start.
    let check = || output(&[("APP_ADMIN__LISTEN", &admin), ("APP_HTTP__LATENCY", "x")], &["healthcheck"]);
    let (code, stdout, _) = check();
    assert_eq!(code, Some(0));
    assert!(stdout.contains(r#"{"name":"start","ok":true}"#), "{stdout}");
    service.signal(Signal::TERM);
    await_status(service.admin, "/readyz", "503");
    let (code, stdout, _) = check();
    assert_eq!(code, Some(70));
    assert!(stdout.contains("shutting down"), "{stdout}");
    drop(service);
    let (code, _, stderr) = check();
    assert_eq!(code, Some(70));
    assert!(stderr.starts_with(&admin), "{stderr}");
}

#[test]
fn the_health_check_speaks_tls_where_the_admin_listener_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["service.example".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), cert.pem()).unwrap();
    std::fs::write(path("key.pem"), signing_key.serialize_pem()).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let tls = [("APP_ADMIN__TLS__CERT_FILE", cert.as_str()), ("APP_ADMIN__TLS__KEY_FILE", key.as_str())];
    let service = Running::start(&tls);
    let admin = service.admin.to_string();
    let (code, stdout, stderr) =
        output(&[&tls[..], &[("APP_ADMIN__LISTEN", &admin)]].concat(), &["healthcheck"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(r#""ready":true"#), "{stdout}");
}
