//! The admin listener: pages for probes and operators.

use crate::support::{locked::Locked, prelude::*};
use std::net::TcpListener;

#[test]
fn readiness_names_each_check_and_its_reason() {
    let site = Site::new();
    let service = site.start();
    let store = |body: &str| {
        let shown: Value = serde_json::from_str(body).unwrap();
        let checks = shown["checks"].as_array().unwrap().clone();
        (shown["ready"].clone(), checks.into_iter().find(|check| check["name"] == "store").unwrap())
    };
    let (ready, check) = store(&service.readiness().1);
    assert_eq!((ready, &check["ok"], check.get("reason")), (json!(true), &json!(true), None));
    let locked = Locked::new(&site);
    until_so("it is not ready", || {
        service.ask("POST", ASYNC, MESSAGE).status == 503 && !service.readiness().0
    });
    let (ready, check) = store(&service.readiness().1);
    assert_eq!((ready, &check["ok"]), (json!(false), &json!(false)));
    assert!(check["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{check}");
    assert_eq!(service.admin("GET", "/livez", "").status, 200);
    drop(locked);
    until_so("it is ready", || service.readiness().0);
}

#[test]
fn metrics_and_version_are_served_and_everything_else_is_not_there() {
    let service = Site::new().start();
    let metrics = service.admin("GET", "/metrics", "");
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let version = service.admin("GET", "/version", "").json();
    assert!(version["version"].is_string() && version["platformVersion"].is_string(), "{version}");
    service.admin("GET", "/", "").problem(404, "not-found");
    service.admin("GET", "/api/v1/dead-letters", "").problem(404, "not-found");
    let refused = service.admin("POST", "/metrics", "");
    assert_eq!(refused.status, 405, "{refused:?}");
    assert!(refused.header("allow").is_some_and(|allow| allow.contains("GET")), "{refused:?}");
}

#[test]
fn the_log_filter_changes_at_run_time_and_a_wrong_one_changes_nothing() {
    let service = Site::new().start();
    let set = |filter: &str| service.admin("PUT", "/log-filter", filter);
    let requests = || service.lines().iter().filter(|line| line["message"] == "request").count();
    assert_eq!(set("warn").status, 204);
    service.get("/unseen");
    assert_eq!(set("info\n").status, 204);
    service.get("/seen");
    // Words that are neither a level nor a target that is known would silence everything.
    for wrong in ["a=b=c", "warning", "infoo", "info;debug", "no_such_crate=debug", "info,epro_notfy=debug"] {
        let refused = set(wrong);
        assert_eq!(refused.status, 400, "{wrong}: {refused:?}");
    }
    assert_eq!(set(&"x".repeat(5000)).status, 413);
    // What no directive names stays as it usually is.
    assert_eq!(set("hyper=debug").status, 204);
    service.get("/still-seen");
    until_so("both lines", || requests() == 2);
    assert_eq!(set("off").status, 204);
    service.get("/unseen");
    assert_eq!(set("info").status, 204);
    service.get("/seen-again");
    until_so("the third line", || requests() == 3);
}

#[test]
fn a_filter_or_a_sampler_in_the_environment_that_names_nothing_is_warned_of() {
    for (variable, value) in [
        ("RUST_LOG", "warning"),
        ("RUST_LOG", "infoo"),
        ("RUST_LOG", "info;debug"),
        ("OTEL_TRACES_SAMPLER", "sometimes"),
    ] {
        let service = Site::new().with(variable, value).start();
        let warned = |line: &Value| line["level"] == "WARN" && line.to_string().contains(variable);
        until_so("it is warned of", || service.lines().iter().any(warned));
        service.get("/seen");
        service.told("request", 1);
        service.stop();
    }
}

#[test]
fn a_taken_port_is_named_and_the_start_ends_with_70() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for key in ["APP_HTTP__LISTEN", "APP_GRPC__LISTEN", "APP_ADMIN__LISTEN"] {
        let (code, output) = Site::new().with(key, &address).spawn().ended();
        assert_eq!(code, 70, "{key}: {output}");
        assert!(output.contains(&address), "{key}: {output}");
    }
}

#[test]
fn the_line_of_readiness_names_each_channels_provider() {
    let gateway = Gateway::start();
    let service = Site::sending_to(&gateway).start();
    let [ready] = &service.told("ready", 1)[..] else { panic!("ready twice") };
    let told = ["sms", "push"].map(|channel| ready["fields"][channel].as_str().unwrap_or_default());
    assert_eq!(told, ["http", "console"], "{ready}");
}
