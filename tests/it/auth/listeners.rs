//! Which addresses may be listened on, what a start refuses, and the commands around it.

use super::WRONG;
use crate::http::with_host;
use crate::support::{
    keys::{ask_by, line, text, with_keys},
    prelude::*,
};
use std::fs;

#[test]
fn beyond_loopback_nothing_is_served_without_keys_and_the_fault_says_how_to_get_them() {
    for key in ["APP_HTTP__LISTEN", "APP_GRPC__LISTEN"] {
        let site = Site::new().with(key, "0.0.0.0:0");
        for arguments in [&[][..], &["check-config"]] {
            let faults = site.faults(arguments);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains(key) && faults[0].contains("auth.api_keys_file"), "{faults:?}");
            assert!(faults[0].contains("new-key"), "{faults:?}");
        }
    }
}

#[test]
fn every_fault_of_the_key_file_is_told_before_a_port_is_bound() {
    let site = with_keys(Site::new(), &[]);
    let file = site.folder().join("keys");
    // Whoever binds first would fail on this address, with another exit code.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let site = site.with("APP_ADMIN__LISTEN", &taken.local_addr().unwrap().to_string());
    fs::write(&file, "secret-line\nnone:secret:secret\n").unwrap();
    for arguments in [&[][..], &["check-config"]] {
        let faults = site.faults(arguments).join("\n");
        for part in ["APP_AUTH__API_KEYS_FILE", "line 1", "line 2"] {
            assert!(faults.contains(part), "{part}: {faults}");
        }
        assert!(!faults.contains("secret"), "{faults}");
    }
    fs::write(&file, "# nobody\n").unwrap();
    assert!(site.faults(&[])[0].contains("holds no key"));
    fs::remove_file(&file).unwrap();
    assert!(site.faults(&[])[0].contains("can't be read"));
}

#[test]
fn with_keys_a_container_serves_every_address_and_warns_that_tls_must_end_in_front() {
    let site = with_keys(Site::new(), &[line("app", "send")]);
    let site = site.with("APP_HTTP__LISTEN", "0.0.0.0:0").with("APP_ADMIN__LISTEN", "[::]:0");
    let service = site.start();
    service.ask("GET", "/nowhere", "").problem(401, "unauthenticated");
    assert_eq!(ask_by(service.http, &text("app"), "GET", "/nowhere", "").status, 404);
    for key in ["http.listen", "admin.listen"] {
        let warning = format!("{key} is not a loopback address and serves no TLS");
        until_so(&format!("{key} is warned of"), || service.output().contains(&warning));
    }
}

#[test]
fn beyond_loopback_the_admin_listener_is_changed_by_operators_alone_and_read_by_everybody() {
    let site = with_keys(Site::new(), &[line("app", "send,read"), line("operator", "operate")]);
    let service = site.with("APP_ADMIN__LISTEN", "0.0.0.0:0").start();
    for (path, body, status, message) in [
        ("/log-filter", "debug", 204, "log filter changed"),
        ("/degradation", r#"{"level":3}"#, 200, "degradation set by hand"),
    ] {
        let put = |key: &str| ask_by(service.admin, key, "PUT", path, body);
        let nobody = service.admin("PUT", path, body);
        nobody.problem(401, "unauthenticated");
        assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
        put(WRONG).problem(401, "unauthenticated");
        put(&text("app")).problem(403, "forbidden");
        assert!(!service.output().contains(message));
        assert_eq!(put(&text("operator")).status, status);
        let [told] = &service.told(message, 1)[..] else { panic!("{message} twice") };
        assert_eq!(told["fields"]["key"], "operator", "who changed it is told");
    }
    assert_eq!(service.admin("GET", "/degradation", "").json()["level"], 3);
    for path in ["/livez", "/readyz", "/version", "/metrics"] {
        assert_eq!(service.admin("GET", path, "").status, 200, "{path}");
    }
    let counted =
        |key, outcome| service.metrics().sum("auth_requests_total", &[("key", key), ("outcome", outcome)]);
    assert_eq!((counted("none", "unknown_key"), counted("app", "forbidden")), (4, 2));
    assert_eq!(counted("operator", "ok"), 2);
}

#[test]
fn on_loopback_operators_need_no_key_and_beyond_it_without_keys_nothing_is_changed() {
    let keyed = with_keys(Site::new(), &[line("app", "send")]);
    let service = keyed.start();
    assert_eq!(service.admin("PUT", "/log-filter", "info").status, 204);
    service.stop();
    let service = Site::new().with("APP_ADMIN__LISTEN", "0.0.0.0:0").start();
    service.admin("PUT", "/log-filter", "debug").problem(403, "forbidden");
}

#[test]
fn a_new_key_is_told_once_and_its_line_lets_it_in() {
    let site = Site::new().with("APP_QUEUE__WORKERS", "a fault that is none of its business");
    let output = site.run(&["new-key", "app.one", "--scopes", "read,send"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    let [key, line] = *told.lines().collect::<Vec<_>>() else { panic!("{told}") };
    assert!(key.starts_with("epro-notify_") && key.len() == "epro-notify_".len() + 52, "{key}");
    assert!(line.starts_with("app.one:send,read:") && !line.contains(key), "{line}");
    let site = with_keys(Site::new(), &[line.to_owned()]);
    let service = site.start();
    assert_eq!(ask_by(service.http, key, "GET", "/api/v1/notifications/none", "").status, 404);
    service.stop();
    for wrong in [
        &["new-key"][..],
        &["new-key", "app"],
        &["new-key", "none", "--scopes", "send"],
        &["new-key", "a b", "--scopes", "send"],
        &["new-key", "app", "--scopes", "admin"],
        &["new-key", "app", "--scopes", ""],
    ] {
        assert_eq!(site.faults(wrong).len(), 1, "{wrong:?}");
    }
    assert!(site.faults(&["new-key", "app"])[0].contains("--scopes"), "what is missing is named");
}

#[test]
fn a_running_service_is_asked_how_it_is_whatever_became_of_its_key_file() {
    let site = with_keys(Site::new(), &[line("app", "send")]);
    let file = site.folder().join("keys");
    let service = site.start();
    fs::write(&file, "broken").unwrap();
    let mut command = site.command();
    command.env("APP_ADMIN__LISTEN", service.admin.to_string()).arg("healthcheck");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(with_host(service.admin, &["any.example"]), 200, "keys are configured");
}
