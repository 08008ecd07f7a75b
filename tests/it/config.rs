//! The configuration as the real program reads it: faults, exit codes, and what is never shown.

use crate::support::prelude::*;
use std::{
    io::{Read, Write},
    net::TcpListener,
};

#[test]
fn all_faults_of_all_sources_are_named_at_once_before_a_port_is_bound() {
    // Whoever binds first would fail on this address, with another exit code.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new()
        .with("APP_ADMIN__LISTEN", &address)
        .with("APP_HTTP__HEADER_TIMEOUT", "5 parsecs")
        .with("APP_QUEUE__WORKER", "1")
        .with("APP_SMS__PROVIDER", "http")
        .with("APP_RETRY__ON_UNKNOWN", "sometimes")
        .with("APP_HTTP__TLS__CERT_FILE", "")
        .with("APP_LIMITS__CLEANUP_INTERVAL", "a\nb\n  c: d");
    let toml = "[queue]\nworkers = \"many\"\n[http]\ntypo = 1\n[limits]\ntrusted_proxies = [\"10.0.0.0/8\", \"there\"]\n";
    let file = site.file("service.toml", toml);
    let faults = site.faults(&["--config", &file, "--set", "grpc.listen=0.0.0.0:1", "--set", "nonsense"]);
    // The key, what was found, where, and what would be right.
    let expected: [&[&str]; 11] = [
        &["http.header_timeout", "5 parsecs", "APP_HTTP__HEADER_TIMEOUT"],
        &["queue.workers", "many", &file],
        &["http.typo", "unknown", &file],
        &["APP_QUEUE__WORKER", "unknown", "did you mean", "APP_QUEUE__WORKERS"],
        &["sms", "url"],
        &["retry.on_unknown", "sometimes", "hold"],
        &["grpc.listen", "0.0.0.0:1", "--set", "loopback"],
        &["--set number 2", "key=value"],
        &["http.tls.cert_file", "is empty; remove it or give it a value"],
        &["limits.cleanup_interval = \"a\\nb\\n  c: d\"", "APP_LIMITS__CLEANUP_INTERVAL"],
        &["limits.trusted_proxies", "10.0.0.0/8,there", &file],
    ];
    for parts in expected {
        let found = faults.iter().any(|fault| parts.iter().all(|part| fault.contains(part)));
        assert!(found, "{parts:?}\nis not in\n{faults:#?}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
}

#[test]
fn wrong_usage_exits_64() {
    for arguments in [&["--no-such"][..], &["no-such"], &["--config"], &["--config", "/no/such/file.toml"]] {
        assert!(!Site::new().faults(arguments).is_empty(), "{arguments:?}");
    }
    let site = Site::new();
    let broken = site.file("broken.toml", "[sms.http]\nurl = canary\n");
    let faults = site.faults(&["--config", &broken]);
    assert!(
        faults.len() == 1 && faults[0].contains(".toml:2: ") && !faults[0].contains("canary"),
        "{faults:?}"
    );
}

#[test]
fn help_and_version_are_no_faults() {
    for argument in ["--help", "--version"] {
        let output = Site::new().run(&[argument]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains("epro-notify"), "{argument}: {said}");
    }
}

#[test]
fn a_setting_without_effect_is_refused_unless_it_says_the_default() {
    for (key, value) in [
        ("APP_SMS__HTTP__URL", "http://gateway.example/"),
        ("APP_PUSH__HTTP__TIMEOUT", "7s"),
        ("APP_SMS__HTTP__AUTHORIZATION_FILE", "/etc/hostname"),
        ("APP_REPORTS__RECEIPT_TEXT", "thank you"),
    ] {
        let faults = Site::new().with(key, value).faults(&["check-config"]);
        assert_eq!(faults.len(), 1, "{key}: {faults:#?}");
        let name = key.trim_start_matches("APP_").to_lowercase().replace("__", ".");
        assert!(faults[0].contains(key) || faults[0].contains(&name), "{faults:?}");
    }
    let fine = Site::new().with("APP_SMS__HTTP__TIMEOUT", "5s").run(&["check-config"]);
    assert!(fine.status.success(), "{fine:?}");
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_named_app_are_ignored() {
    let mut site = Site::new();
    // Services `app`, `app-http` and `otel`, with a port that is named, and one of UDP.
    for (name, value) in [
        ("APP_PORT", "tcp://10.0.0.1:80"),
        ("APP_SERVICE_HOST", "10.0.0.1"),
        ("APP_SERVICE_PORT", "80"),
        ("APP_SERVICE_PORT_HTTP_WEB", "80"),
        ("APP_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("APP_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("APP_PORT_80_TCP_PORT", "80"),
        ("APP_PORT_80_TCP_PROTO", "tcp"),
        ("APP_PORT_53_UDP", "udp://10.0.0.1:53"),
        ("APP_HTTP_PORT", "tcp://10.0.0.2:80"),
        ("APP_HTTP_SERVICE_HOST", "10.0.0.2"),
        ("OTEL_PORT", "tcp://10.0.0.3:4317"),
        ("OTEL_SERVICE_HOST", "10.0.0.3"),
        ("OTEL_SERVICE_PORT", "4317"),
        ("OTEL_COLLECTOR_PORT_4317_TCP", "tcp://10.0.0.3:4317"),
    ] {
        site.set(name, value);
    }
    let service = site.start();
    service.accept();
}

#[test]
fn a_duration_has_a_unit_and_bounds_and_is_shown_where_it_is_wrong() {
    let check = |value: &str| Site::new().with("APP_QUEUE__RETENTION", value).run(&["check-config"]);
    for value in ["1h30m", "90m", "2h 30m", "86400s", "3600000ms", "2days"] {
        assert!(check(value).status.success(), "{value}");
    }
    for value in [
        "5 parsecs", "5", "-5s", "+5s", "1e3s", "s", "5,5s", "PT5H", "inf", "99999999999999999999h",
        "1000000y", "0s",
    ] {
        let checked = check(value);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.code() == Some(64) && said.contains(&format!("{value:?}")), "{value}: {said}");
    }
}

#[test]
fn a_secret_or_an_address_with_one_is_never_shown_whole() {
    let canary = "canary-secret";
    let url = |scheme: &str, rest: &str| format!("{scheme}://user:{canary}@somewhere.example/{canary}{rest}");
    let argument = format!("push.http.url={}", url("http", ""));
    let database = url("postgres", "");
    for (variables, arguments) in [
        (&[("APP_SMS__HTTP__URL", &*url("http", "?key=x"))][..], &[][..]),
        (&[("APP_SMS__PROVIDER", "http"), ("APP_SMS__HTTP__URL", &url("ftp", ""))], &[]),
        (&[("APP_STORE__URL", &database), ("APP_STORE__NO_SUCH", canary)], &[]),
        (&[("APP_STORE__URL", &*url("postgresql+x", ""))], &[]),
        (&[], &["--set", &*argument]),
        (&[], &["--set", canary]),
    ] {
        let mut site = Site::new();
        variables.iter().for_each(|(key, value)| site.set(key, value));
        let faults = site.faults(&[&["check-config"], arguments].concat()).join("\n");
        assert!(!faults.contains(canary), "{faults}");
    }
}

#[test]
fn a_stronger_source_wins() {
    let site = Site::new().with("APP_QUEUE__WORKERS", "2").with("APP_QUEUE__MAX_BACKLOG", "nothing");
    let file = site.file("service.toml", "[queue]\nworkers = 0\nmax_backlog = 0\nretention = \"never\"\n");
    let arguments = ["check-config", "--config", &file, "--set", "queue.workers=some"];
    let faults = site.faults(&arguments).join("\n");
    for (key, value) in [("workers", "some"), ("max_backlog", "nothing"), ("retention", "never")] {
        assert!(faults.contains(&format!("queue.{key}")) && faults.contains(value), "{key}: {faults}");
    }
    assert_eq!(faults.lines().count(), 3, "{faults}");
}

#[test]
fn settings_that_do_not_fit_together_are_warned_of() {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway)
        .with("APP_SMS__HTTP__TIMEOUT", "25s")
        .with("APP_SHUTDOWN__DRAIN_DEADLINE", "3s")
        .with("APP_HTTP__HANDLER_TIMEOUT", "10s");
    let checked = site.run(&["check-config"]);
    assert!(checked.status.success(), "{checked:?}");
    let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
    let service = site.start();
    for key in ["sms.http.timeout", "shutdown.drain_deadline", "http.handler_timeout"] {
        assert!(said.contains(key), "{key}: {said}");
        let warned = |line: &Value| line["level"] == "WARN" && line.to_string().contains(key);
        until_so(&format!("{key} is warned of"), || service.lines().iter().any(warned));
    }
}

#[test]
fn the_example_is_complete_and_changes_nothing() {
    let root = std::env::current_dir().unwrap();
    let file = root.join("config.example.toml");
    let checked = Site::new().run(&["check-config", "--config", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn a_service_that_is_not_there_is_not_healthy() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = Site::new().with("APP_ADMIN__LISTEN", &closed).run(&["healthcheck"]);
    assert_eq!(output.status.code(), Some(70), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&closed), "{output:?}");
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
        // Whatever became of the files that only the service needs.
        let site =
            Site::new().with("APP_ADMIN__LISTEN", &address).with("APP_AUTH__API_KEYS_FILE", "/no/such");
        let output = site.run(&["healthcheck"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "{\"store\":\"the reason\"}");
        assert!(admin.join().unwrap().starts_with("GET /readyz HTTP/1.1\r\n"));
    }
}
