//! The page of traces on the admin listener: whole traces with their lines, bounded, and only where nobody else looks.

use super::burst;
use crate::support::prelude::*;
use chassis_test::client::ask_with;

const PAGE: &str = "/debug/traces";

/// The page as HTML or JSON.
pub fn shown(service: &Service, form: &str) -> Answer {
    let answer = ask_with(service.admin, "GET", PAGE, &[("accept", form)], "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.header("content-type").is_some_and(|is| is.starts_with(form)), "{answer:?}");
    answer
}

/// The traces of one list whose root has this name.
fn named(service: &Service, list: &str, name: &str) -> Vec<Value> {
    let page = shown(service, "application/json").json();
    page[list].as_array().unwrap().iter().filter(|trace| trace["name"] == name).cloned().collect()
}

fn texts<'a>(trace: &'a Value, of: &str, key: &str) -> Vec<&'a str> {
    trace[of].as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect()
}

const REQUEST: &str = "POST /api/v1/notifications/sms/async";

#[test]
fn a_notification_is_shown_with_its_request_store_and_delivery() {
    let gateway = Gateway::start();
    let service = Site::sending_to(&gateway).start_with_patient();
    gateway.behave(r#"{"status":503}"#);
    let id = service.accept();
    service.until_attempt(&id, "retry");
    gateway.behave("{}");
    service.until_status(&id, "delivered");
    let spans = [REQUEST, "send notifications", "commit", "process notifications", "find contact", "POST"];
    let trace = until("the whole trace", || {
        let [trace] = &named(&service, "recent", REQUEST)[..] else { return None };
        let (names, lines) = (texts(trace, "spans", "name"), texts(trace, "lines", "message"));
        let whole = spans.iter().all(|name| names.contains(name)) && lines.contains(&"request");
        (whole && lines.iter().filter(|line| **line == "attempt finished").count() >= 2)
            .then(|| trace.clone())
    });
    assert_eq!(trace["failed"], true, "an attempt failed: {trace:#}");
    assert_eq!(trace["traceId"], service.notification(&id)["traceId"]);
    let known = texts(&trace, "spans", "spanId");
    let parents = texts(&trace, "spans", "parentSpanId");
    assert_eq!(parents.iter().filter(|parent| !known.contains(parent)).count(), 1, "{trace:#}");
    assert!(texts(&trace, "lines", "spanId").iter().all(|span| known.contains(span)), "{trace:#}");
    for list in ["recent", "slow", "failed"] {
        assert_eq!(named(&service, list, REQUEST), std::slice::from_ref(&trace));
    }
    let page = shown(&service, "text/html");
    for text in spans.iter().chain(&["attempt finished", trace["traceId"].as_str().unwrap()]) {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(
        page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(!page.body.contains("<script") && !page.body.contains("http://"), "{}", page.body);
    service.stop();
}

#[test]
fn many_traces_leave_a_bounded_page_of_whole_traces() {
    let service = Site::new().start();
    burst(service.http, 2000);
    service.until_drained();
    let page = shown(&service, "application/json");
    assert!(page.body.len() < 2_000_000, "{}", page.body.len());
    let recent = named(&service, "recent", REQUEST);
    assert!((10..=40).contains(&recent.len()), "{}", recent.len());
    let is_whole = |trace: &Value| texts(trace, "spans", "name").contains(&"process notifications");
    assert!(recent.iter().filter(|trace| is_whole(trace)).count() > recent.len() / 2, "{recent:#?}");
    service.stop();
}

#[test]
fn the_page_is_on_by_default_where_only_this_machine_can_look() {
    for (listen, set, status) in [
        ("127.0.0.1:0", None, 200),
        ("127.0.0.1:0", Some("false"), 404),
        ("0.0.0.0:0", None, 404),
        ("0.0.0.0:0", Some("true"), 200),
    ] {
        let site = Site::new().with("APP_ADMIN__LISTEN", listen);
        let site = if let Some(set) = set { site.with("APP_ADMIN__TRACES", set) } else { site };
        let service = site.start();
        assert_eq!(service.admin("GET", PAGE, "").status, status, "{listen} {set:?}");
        service.stop();
    }
}
