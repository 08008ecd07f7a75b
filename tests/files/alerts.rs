//! What an alert leads to is there: its panel, its section in a runbook, its cases; and routing and runbooks name nothing that
//! is not. What its expression does, `promtool` says in `tests/promtool`.

use crate::{dashboards::exported::texts, read::boards, root};
use serde_json::Value;
use std::{collections::BTreeSet, fs};

/// Cases that an alert may do without, with the reason.
const WITHOUT: &[(&str, &str)] = &[("Watchdog", "it always fires, so that its silence is noticed")];

pub struct Alert {
    pub name: String,
    rule: Value,
}

impl Alert {
    pub fn text(&self, field: &str, key: &str) -> &str {
        self.rule[field][key].as_str().unwrap_or_default()
    }
}

pub fn alerts() -> Vec<Alert> {
    let mut alerts = Vec::new();
    for (file, text) in texts("deploy/prometheus/rules", ".yml") {
        let read: Value = serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        for rule in
            read["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap())
        {
            let name = rule["alert"].as_str().map(str::to_owned);
            alerts.extend(name.map(|name| Alert { name, rule: rule.clone() }));
        }
    }
    assert!(alerts.len() > 20, "{}", alerts.len());
    alerts
}

#[test]
fn each_alert_links_a_panel_that_its_runbook_names() {
    let boards = boards().unwrap();
    let runbooks: String = texts("deploy/runbooks", ".md").into_iter().map(|(_, text)| text).collect();
    for alert in alerts() {
        let url = alert.text("annotations", "dashboard_url");
        let (uid, id) = url.rsplit_once("/d/").unwrap().1.split_once("?viewPanel=").unwrap();
        let board = boards.iter().find(|board| board.uid() == uid).unwrap_or_else(|| panic!("{url}"));
        let panels = board.panels();
        let panel = panels.iter().find(|panel| panel.id().to_string() == id);
        let panel = panel.unwrap_or_else(|| panic!("{}: no panel {url}", alert.name));
        let section = runbooks.split(&format!("## {}\n", alert.name)).nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        // Titles of a fork's dashboards begin with its name.
        let board = board.title().rsplit(": ").next().unwrap();
        for title in [board, panel.title()] {
            assert!(section.contains(&format!("*{title}*")), "{}: {title:?} is not told", alert.name);
        }
    }
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let mut wanted = BTreeSet::new();
    for alert in alerts() {
        let (page, anchor) =
            alert.text("annotations", "runbook_url").rsplit_once('/').unwrap().1.split_once('#').unwrap();
        assert_eq!(anchor, alert.name.to_lowercase());
        wanted.insert((format!("deploy/runbooks/{page}"), alert.name));
    }
    let sections = |(page, text): (String, String)| {
        let names = text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned);
        names.map(|name| (page.clone(), name)).collect::<Vec<_>>()
    };
    let found: Vec<_> = texts("deploy/runbooks", ".md").into_iter().flat_map(sections).collect();
    assert_eq!(found.len(), wanted.len(), "a section is there twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn each_section_says_impact_diagnosis_mitigation_and_when_it_is_resolved() {
    for (page, text) in texts("deploy/runbooks", ".md") {
        for section in text.split("\n## ").skip(1) {
            let parts = [
                "**Impact.**", "**Diagnose.**", "**Mitigate.**", "**Resolved when.**", "**Do not**",
                "```promql\n",
            ];
            for part in parts {
                assert!(section.contains(part), "{page}: {part} is missing in {section}");
            }
        }
    }
}

#[test]
fn each_alert_says_what_happens_and_whom_it_calls() {
    for alert in alerts() {
        let (summary, description) =
            (alert.text("annotations", "summary"), alert.text("annotations", "description"));
        assert!(summary.len() > 20 && description.len() > 20, "{}", alert.name);
        assert!(summary.len() < 120, "{}: a summary is for a phone's screen", alert.name);
        let severity = alert.text("labels", "severity");
        let known = if alert.name == "Watchdog" { &["none"][..] } else { &["page", "ticket"] };
        assert!(known.contains(&severity), "{}: {severity}", alert.name);
        assert!(!alert.text("labels", "component").is_empty(), "{}", alert.name);
    }
}

#[test]
fn each_alert_has_cases_in_which_it_is_quiet_fires_resolves_and_sees_no_traffic() {
    let cases: String = texts("deploy/prometheus/tests", ".yml").into_iter().map(|(_, text)| text).collect();
    for alert in alerts().into_iter().filter(|alert| !WITHOUT.iter().any(|(name, _)| *name == alert.name)) {
        for case in ["quiet, fires, resolves", "no traffic"] {
            assert!(cases.contains(&format!("name: \"{}: {case}\"", alert.name)), "{}: {case}", alert.name);
        }
    }
}

#[test]
fn alertmanager_names_only_alerts_that_there_are() {
    let configuration = fs::read_to_string(root().join("deploy/alertmanager/alertmanager.yml")).unwrap();
    let known: BTreeSet<String> = alerts().into_iter().map(|alert| alert.name).collect();
    for part in configuration.split("alertname ").skip(1) {
        let names = expanded(part.split('"').nth(1).unwrap());
        let strange: Vec<_> = names.iter().filter(|name| !known.contains(*name)).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}

/// The names of `A|B`, or of `(A|B)C(D|E)`.
fn expanded(pattern: &str) -> Vec<String> {
    if !pattern.contains('(') {
        return pattern.split('|').map(str::to_owned).collect();
    }
    pattern.split(['(', ')']).filter(|part| !part.is_empty()).fold(vec![String::new()], |names, part| {
        names.iter().flat_map(|name| part.split('|').map(move |end| format!("{name}{end}"))).collect()
    })
}
