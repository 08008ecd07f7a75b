//! The log filter of a running service. In a process of its own: what is enabled is remembered for the
//! whole process, so that tests in one would change it for each other.

use crate::support::{client::ask, service::Site, wait::until};
use serde_json::Value;

#[test]
fn the_filter_changes_at_run_time_and_a_wrong_one_changes_nothing() {
    let site = Site::new();
    let service = site.start();
    let set = |filter: &str| ask(service.admin, "PUT", "/log-filter", filter).unwrap();
    let requests = || service.lines().iter().filter(|line| is_request(line)).count();

    assert_eq!(set("warn").status, 204);
    service.ask("GET", "/unseen", "");
    assert_eq!(set("info").status, 204);
    service.ask("GET", "/seen", "");
    let refused = set("a=b=c");
    assert_eq!(refused.status, 400);
    service.ask("GET", "/still-seen", "");
    until("both lines", || (requests() == 2).then_some(()));

    assert_eq!(set("off").status, 204);
    service.ask("GET", "/unseen", "");
    assert_eq!(set("info").status, 204);
    service.ask("GET", "/seen-again", "");
    until("the third line", || (requests() == 3).then_some(()));
    service.stop();
}

fn is_request(line: &Value) -> bool {
    line["message"] == "request"
}
