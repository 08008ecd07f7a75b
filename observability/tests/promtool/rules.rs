//! Rule files that are taken, and alerts that fire when they should and at no other time.

use super::{proven, run};
use observability::rules::{
    self,
    alert::Alert,
    rule::{Group, Rule},
    slo::{Slo, WINDOWS},
};
use std::thread;

#[test]
fn prometheus_takes_the_rule_files() {
    for file in ["slo", "alerts"] {
        let said = run("promtool", &["check", "rules", &format!("deploy/prometheus/rules/{file}.yml")]);
        assert!(said.content, "{}", said.text);
    }
}

#[test]
fn each_alert_passes_its_cases() {
    let faults = faults(|alert| {
        let said = proven(&format!("cases-{}", alert.name), &alone(alert.clone()), alert);
        if said.content { Vec::new() } else { vec![said.text] }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_checked_in_cases_hold_on_the_checked_in_rules() {
    let said = run("promtool", &["test", "rules", "deploy/prometheus/tests/causes.yml"]);
    assert!(said.content, "{}", said.text);
}

/// What each alert's test finds, two at a time: promtool takes a processor each.
pub fn faults(test: impl Fn(&Alert) -> Vec<String> + Sync) -> Vec<String> {
    let alerts = rules::alerts();
    let every_second =
        |first: usize| alerts.iter().skip(first).step_by(2).flat_map(&test).collect::<Vec<_>>();
    thread::scope(|scope| {
        let halves = [0, 1].map(|first| scope.spawn(move || every_second(first)));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    })
}

/// The alert with the series that it reads, if it is on an objective's.
pub fn alone(alert: Alert) -> Vec<Group> {
    let objective = rules::objectives().into_iter().find(|slo| alert.name.starts_with(slo.alert));
    let mut groups: Vec<Group> = objective.iter().flat_map(Slo::groups).collect();
    let name = groups.pop().map_or("alone".to_owned(), |alerts| alerts.name);
    let read = |window: &&str| alert.expr.contains(&format!("rate{window}{{"));
    let windows: Vec<_> = WINDOWS.iter().filter(|window| read(window)).collect();
    for group in &mut groups {
        group.rules.retain(|rule| match rule {
            Rule::Record(record) => {
                windows.iter().any(|window| record.name.ends_with(&format!("rate{window}")))
            }
            Rule::Alert(_) => false,
        });
    }
    groups.retain(|group| !group.rules.is_empty());
    groups.push(Group { name, rules: vec![alert.into()] });
    groups
}
