//! A service's lines on their way from Docker's files to Loki.

use super::{
    backends::{Line, Lines},
    collector::Site,
};
use crate::support::service::Site as Service;
use chassis_test::until_so;
use serde_json::{Value, json};
use std::{fs::OpenOptions, io::Write};

/// As `Backend`, for spans that nobody sends here.
fn nowhere() -> std::net::SocketAddr {
    crate::program::free_address()
}

/// Appends lines as Docker's driver `json-file` writes them.
pub fn write(site: &Site, container: &str, lines: impl IntoIterator<Item = String>) {
    write_with(site, container, &json!({}), lines);
}

/// The same with what the driver was told to add.
fn write_with(site: &Site, container: &str, attrs: &Value, lines: impl IntoIterator<Item = String>) {
    let path = site.containers().join(format!("{container}-json.log"));
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    for line in lines {
        let mut wrapped =
            json!({"log": format!("{line}\n"), "stream": "stdout", "time": "2026-11-23T07:10:15.5Z"});
        if attrs != &json!({}) {
            wrapped["attrs"] = attrs.clone();
        }
        writeln!(file, "{wrapped}").unwrap();
    }
}

/// Writes the lines and waits until as many have come.
fn through(attrs: &Value, lines: Vec<String>, expected: usize) -> Vec<Line> {
    let loki = Lines::start();
    let site = Site::new(nowhere(), loki.address);
    let _collector = site.start();
    write_with(&site, "0a", attrs, lines);
    until_so("the lines arrive", || loki.kept().len() >= expected);
    loki.kept()
}

#[test]
fn a_line_of_the_service_keeps_its_trace_its_time_and_its_level() {
    let line = json!({"timestamp": "2026-11-23T07:10:14.367359Z", "level": "WARN", "target": "epro_notify",
        "message": "request", "trace_id": "44d1b382a0661d0fefc239c0bffbb70f", "span_id": "2aeb128055eabac0",
        "trace_flags": "01", "service": "epro-notify", "version": "0.2.0",
        "fields": {"method": "POST", "status": 202, "duration_ms": 8.077_347, "id": "0sahnpdaw0000"}});
    let kept = through(&json!({}), vec![line.to_string()], 1);
    let [Line { service, record, .. }] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!(service, "epro-notify");
    assert_eq!(record.trace_id, 0x44d1_b382_a066_1d0f_efc2_39c0_bffb_b70f_u128.to_be_bytes());
    assert_eq!(record.span_id, 0x2aeb_1280_55ea_bac0_u64.to_be_bytes());
    assert_eq!(record.flags & 1, 1);
    assert_eq!(record.time_unix_nano, 1_795_417_814_367_359_000, "to the microsecond");
    assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "WARN"));
    let fields = json!({"method": "POST", "status": 202.0, "duration_ms": 8.077_347, "id": "0sahnpdaw0000"});
    assert_eq!(kept[0].body()["fields"], fields, "what it says is still there to be asked for");
    assert_eq!(kept[0].body()["message"], "request");
}

#[test]
fn a_key_that_is_not_on_the_list_and_a_phone_number_do_not_reach_loki() {
    let line = json!({"level": "INFO", "service": "ctms", "message": "call +4930901820 back",
        "patient_name": "canary-1", "fields": {"patient_id": "canary-2", "reason": "asked by a@example.com",
        "route": "/api/v1/reports", "nested": {"status": "canary-3"}}});
    let panic = "thread 'x' panicked: no contact for +49 30 901820".to_owned();
    let label = json!({"com.docker.compose.service": "epro-notify"});
    let kept = through(&label, vec![line.to_string(), panic], 2);
    let told = Value::from(kept.iter().map(|line| line.all.clone()).collect::<Vec<_>>()).to_string();
    for secret in ["canary", "901820", "example.com"] {
        assert!(!told.contains(secret), "{secret} came out: {told}");
    }
    assert!(told.contains("call **** back") && told.contains("/api/v1/reports"), "{told}");
}

#[test]
fn what_is_no_json_is_the_service_s_whose_container_wrote_it_and_others_are_left_alone() {
    let label = |service: &str| json!({"com.docker.compose.service": service});
    let loki = Lines::start();
    let site = Site::new(nowhere(), loki.address);
    let _collector = site.start();
    write_with(&site, "01", &label("grafana"), ["{\"level\":\"info\"}".to_owned(), "text".to_owned()]);
    write_with(&site, "02", &json!({}), ["nobody's".to_owned()]);
    write_with(&site, "03", &label("ctms"), ["APP_HTTP__LISTEN: is no address".to_owned()]);
    until_so("the line arrives", || !loki.kept().is_empty());
    let kept = loki.kept();
    let [line] = &kept[..] else { panic!("{kept:?}") };
    assert_eq!((line.service.as_str(), line.body()), ("ctms", json!("APP_HTTP__LISTEN: is no address")));
}

#[test]
fn no_line_that_a_real_service_writes_loses_anything() {
    let service = Service::new().with("RUST_LOG", "info,epro_notify=debug").start_with_patient();
    service.accept();
    service.ask("POST", "/api/v1/notifications/sms/async", "{");
    service.ask("GET", "/nowhere", "");
    service.until_drained();
    // Lines are written some milliseconds after what they tell.
    let told = |message: &str| service.lines().iter().filter(|line| line["message"] == message).count();
    until_so("its lines are written", || told("attempt finished") == 1 && told("request") == 4);
    let written = service.lines();
    service.stop();
    assert!(written.len() > 5, "{written:?}");
    let kept = through(&json!({}), written.iter().map(Value::to_string).collect(), written.len());
    for line in &kept {
        assert!(!line.all.to_string().contains("redaction."), "something was taken out of {}", line.all);
        assert_eq!(line.record.trace_id.len(), 16, "{}", line.all);
    }
    assert_eq!(kept.len(), written.len());
}
