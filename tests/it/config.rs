//! The configuration as the real program reads it: faults, exit codes, and what is printed.

use crate::support::certificates::{Certificate, files};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    process::{Command, Output},
};

fn program(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_epro-notify"));
    command.env_clear().envs(variables.iter().copied()).args(arguments);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn faults(output: &Output) -> Vec<String> {
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn all_faults_of_all_sources_are_named_at_once_before_a_port_is_bound() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.toml");
    fs::write(&file, "[queue]\nworkers = \"many\"\n\n[http]\nlisten = { port = 1 }\ntypo = 1\n").unwrap();
    // Whoever binds first would fail on this address, with another exit code and another line.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let variables = [
        ("APP_ADMIN__LISTEN", address.as_str()),
        ("APP_HTTP__HEADER_TIMEOUT", "soon"),
        ("APP_QUEUE__WORKER", "1"),
        ("APP_SMS__PROVIDER", "http"),
        ("APP_RETRY__BASE_DELAY", "2h"),
        ("app_retry__base_delay", "3h"),
    ];
    let arguments =
        ["--config", file.to_str().unwrap(), "--set", "grpc.listen=0.0.0.0:1", "--set", "nonsense"];
    let faults = faults(&program(&variables, &arguments));
    let file = file.display();
    let expected = [
        "app_retry__base_delay (environment): given twice, also as APP_RETRY__BASE_DELAY (environment); remove one".to_owned(),
        "--set, number 2 (command line): write it as key=value".to_owned(),
        "APP_HTTP__HEADER_TIMEOUT (environment): must be a whole number with a unit".to_owned(),
        format!("queue.workers ({file}, line 2): must be a whole number without quotes, not a string in quotes"),
        "app_retry__base_delay (environment): must not exceed retry.max_delay".to_owned(),
        "APP_SMS__PROVIDER (environment): http needs the gateway's address; set sms.http.url".to_owned(),
        "grpc.listen (command line): must be a loopback address".to_owned(),
        format!("http.listen.port ({file}, line 5): there is nothing below http.listen"),
        format!("http.typo ({file}, line 6): unknown key"),
        "APP_QUEUE__WORKER (environment): unknown key; did you mean APP_QUEUE__WORKERS?".to_owned(),
    ];
    for start in &expected {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start}\nis not in\n{faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
}

#[test]
fn wrong_usage_is_one_line_and_exits_64() {
    for arguments in [&["--no-such"][..], &["no-such"], &["--config"], &["--config", "/no/such/file.toml"]] {
        assert_eq!(faults(&program(&[], arguments)).len(), 1, "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_faults() {
    for argument in ["--help", "--version"] {
        let output = program(&[], &[argument]);
        assert!(output.status.success() && stdout(&output).contains("epro-notify"), "{output:?}");
    }
}

#[test]
fn the_printed_configuration_reads_back_as_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let tls = files(folder.path());
    Certificate::new().write(&tls);
    let variables = [
        ("APP_LIMITS__TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8"),
        ("APP_SMS__PROVIDER", "http"),
        ("APP_SMS__HTTP__URL", "http://127.0.0.1:9000/\"quoted\"\\"),
        ("APP_HTTP__TLS__CERT_FILE", tls.cert_file.to_str().unwrap()),
        ("APP_HTTP__TLS__KEY_FILE", tls.key_file.to_str().unwrap()),
        ("APP_STORE__URL", "sqlite:///tmp/'odd' \u{e9}.db"),
    ];
    let first = stdout(&program(&variables, &["--print-config", "--set", "queue.workers=007"]));
    let file = folder.path().join("printed.toml");
    fs::write(&file, &first).unwrap();
    let second = program(&[], &["--print-config", "--config", file.to_str().unwrap()]);
    assert!(second.status.success(), "{second:?}");
    assert_eq!(settings(&first), settings(&stdout(&second)));
    assert!(settings(&first).contains(&"workers = 7".to_owned()), "{first}");
}

/// The document without what its values came from.
fn settings(document: &str) -> Vec<String> {
    document.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn every_key_of_the_contract_is_printed_with_its_default() {
    let document = stdout(&program(&[], &["--print-config"]));
    let keys = [
        ("HTTP__LISTEN", "\"127.0.0.1:8080\""),
        ("GRPC__LISTEN", "\"127.0.0.1:50051\""),
        ("ADMIN__LISTEN", "\"127.0.0.1:9464\""),
        ("STORE__URL", "\"sqlite://data/epro-notify.db\""),
        ("QUEUE__MAX_BACKLOG", "100000"),
        ("QUEUE__MAX_SCHEDULED", "10000000"),
        ("QUEUE__WORKERS", "32"),
        ("QUEUE__RETENTION", "\"720h\""),
        ("SMS__PROVIDER", "\"console\""),
        ("PUSH__PROVIDER", "\"console\""),
        ("SMS__HTTP__URL", "none"),
        ("PUSH__HTTP__URL", "none"),
        ("SMS__HTTP__TIMEOUT", "\"5s\""),
        ("PUSH__HTTP__TIMEOUT", "\"5s\""),
        ("RETRY__MAX_ATTEMPTS", "16"),
        ("RETRY__BASE_DELAY", "\"5s\""),
        ("RETRY__MAX_DELAY", "\"1h\""),
        ("RETRY__ON_UNKNOWN", "\"retry\""),
        ("LIMITS__PER_CLIENT__RATE", "100"),
        ("LIMITS__PER_CLIENT__BURST", "200"),
        ("LIMITS__MAX_CLIENTS", "1000000"),
        ("LIMITS__TRUSTED_PROXIES", "[]"),
        ("HTTP__HEADER_TIMEOUT", "\"10s\""),
        ("HTTP__BODY_TIMEOUT", "\"10s\""),
        ("HTTP__HANDLER_TIMEOUT", "\"30s\""),
        ("HTTP__MAX_CONNECTIONS", "20000"),
        ("HTTP__TLS__CERT_FILE", "none"),
        ("GRPC__TLS__CERT_FILE", "none"),
        ("ADMIN__TLS__KEY_FILE", "none"),
        ("AUTH__API_KEYS_FILE", "none"),
        ("SHUTDOWN__NOT_READY_FOR", "\"0s\""),
        ("SHUTDOWN__DRAIN_DEADLINE", "\"20s\""),
    ];
    for (key, default) in keys {
        let described = format!("# APP_{key}; default {default}");
        let found =
            document.lines().any(|line| line == described || line.starts_with(&format!("{described}, ")));
        assert!(found, "{described}\nis not in\n{document}");
    }
}

#[test]
fn a_secret_is_never_printed_and_never_taken_from_the_command_line() {
    let canary = "canary-secret";
    let gateway = format!("http://gateway.example/?key={canary}");
    let in_the_clear = format!("http://user:{canary}@gateway.example/");
    let database = format!("postgres://user:{canary}@db/notify");
    let misspelled = format!("postgresql+x://user:{canary}@db/notify");
    let argument = format!("push.http.url={gateway}");
    let runs = [
        program(&[("APP_SMS__HTTP__URL", &gateway)], &["--print-config"]),
        program(&[("APP_SMS__HTTP__URL", &in_the_clear), ("APP_STORE__URL", &database)], &["check-config"]),
        program(&[("APP_STORE__URL", &misspelled), ("APP_STORE__PASSWORD", canary)], &["check-config"]),
        program(&[], &["check-config", "--set", &argument]),
        program(&[], &["check-config", "--set", canary]),
    ];
    for run in &runs {
        let said = format!("{}{}", stdout(run), String::from_utf8_lossy(&run.stderr));
        assert!(!said.contains(canary), "{said}");
    }
    assert!(
        stdout(&runs[0]).contains("# url = a secret, set by APP_SMS__HTTP__URL (environment)"),
        "{:?}",
        runs[0]
    );
    assert!(runs[1..].iter().all(|run| run.status.code() == Some(64)), "{runs:?}");
}

#[test]
fn a_stronger_source_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("service.toml");
    fs::write(&file, "[queue]\nworkers = 1\nmax_backlog = 1\nmax_scheduled = 1\n").unwrap();
    let variables = [("APP_QUEUE__WORKERS", "2"), ("App_Queue__Max_Backlog", "2")];
    let output = program(
        &variables,
        &["--print-config", "--config", file.to_str().unwrap(), "--set", "queue.workers=3"],
    );
    let document = stdout(&output);
    for line in ["workers = 3", "max_backlog = 2", "max_scheduled = 1"] {
        assert!(document.lines().any(|found| found == line), "{line}: {output:?}");
    }
}

#[test]
fn a_service_that_is_not_there_is_not_healthy() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = program(&[("APP_ADMIN__LISTEN", &closed)], &["healthcheck"]);
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).starts_with(&closed), "{output:?}");
}

#[test]
fn the_health_check_passes_on_the_verdict_and_its_reasons() {
    for (status, code) in [("200 OK", 0), ("503 Service Unavailable", 70)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let admin = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{{\"store\":\"the reason\"}}")
                .unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let output = program(&[("APP_ADMIN__LISTEN", &address)], &["healthcheck"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(stdout(&output), "{\"store\":\"the reason\"}\n");
        assert!(admin.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
    }
}
