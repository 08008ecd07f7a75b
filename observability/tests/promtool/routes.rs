//! Where Alertmanager sends each alert, as its own `amtool` tells it.

use super::run;
use observability::rules::{self, alert::Severity};

const CONFIGURATION: &str = "deploy/alertmanager/alertmanager.yml";

#[test]
fn alertmanager_takes_the_configuration() {
    let said = run("amtool", &["check-config", CONFIGURATION]);
    assert!(said.content, "{}", said.text);
}

#[test]
fn each_alert_goes_to_whom_its_severity_calls() {
    for alert in rules::alerts() {
        let receiver = match alert.severity {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
            Severity::None => "deadman",
        };
        let mut labels = vec![format!("alertname={}", alert.name)];
        labels.extend(alert.labels().iter().map(|(name, value)| format!("{name}={value}")));
        let said = routed(receiver, &labels);
        assert!(said.content, "{}: {}", alert.name, said.text);
    }
}

#[test]
fn a_page_that_went_to_the_tickets_would_be_told() {
    assert!(!routed("ticket", &["alertname=StoreFailing".to_owned(), "severity=page".to_owned()]).content);
}

fn routed(receiver: &str, labels: &[String]) -> super::Said {
    let verify = format!("--verify.receivers={receiver}");
    let mut arguments = vec!["config", "routes", "test", "--config.file", CONFIGURATION, &verify];
    arguments.extend(labels.iter().map(String::as_str));
    run("amtool", &arguments)
}
