//! The test files of `promtool test rules`: five cases for each alert, out of its proof.

use crate::rules::{
    alert::Alert,
    objectives,
    proof::{Inapplicable, Proof, Series},
    slo::Slo,
    yaml,
};
use std::fmt::Write as _;

/// The checked-in test files, by what they are about and how often rules are evaluated in them.
pub fn files(alerts: &[Alert]) -> Vec<(String, String)> {
    let about = [("slo", "5m"), ("slo", "30m"), ("", "1m")];
    let names = ["slo-pages", "slo-tickets", "causes"];
    let file = |((component, evaluated), name): ((&str, &'static str), &str)| {
        let of_this = |alert: &&Alert| {
            (alert.component == "slo") == (component == "slo") && alert.proof.evaluated == evaluated
        };
        let alerts: Vec<_> = alerts.iter().filter(of_this).collect();
        let rules = if component == "slo" { "../rules/slo.yml" } else { "../rules/alerts.yml" };
        (format!("deploy/prometheus/tests/{name}.yml"), text(HEAD, &[rules], evaluated, &alerts))
    };
    about.into_iter().zip(names).map(file).collect()
}

const HEAD: &str = "`promtool test rules`: each alert fires, is quiet before, resolves, and is quiet without traffic and with one failure.";

/// A test file on these rule files, which are evaluated that often.
pub fn text(head: &str, rule_files: &[&str], evaluated: &str, alerts: &[&Alert]) -> String {
    let mut text = yaml::head(head);
    text.push_str("rule_files:\n");
    for file in rule_files {
        let _ = writeln!(text, "  - {}", yaml::string(file));
    }
    let _ = writeln!(text, "evaluation_interval: {evaluated}");
    if alerts.iter().any(|alert| alert.component == "slo") {
        // Without it promtool takes groups in any order, and an alert may see what an evaluation earlier was recorded.
        text.push_str("group_eval_order:\n");
        for group in objectives().iter().flat_map(Slo::groups) {
            let _ = writeln!(text, "  - {}", group.name);
        }
    }
    text.push_str("tests:\n");
    for alert in alerts {
        text.push_str(&cases(alert));
    }
    text
}

fn cases(alert: &Alert) -> String {
    let (name, proof) = (&alert.name, &alert.proof);
    let mut text = String::new();
    for (at, story) in proof.stories.iter().enumerate() {
        text.push_str(&head(&format!("{name}: quiet, fires, resolves"), proof, &story.series));
        if let Some(quiet) = story.quiet {
            text.push_str(&silent(name, quiet));
        }
        text.push_str(&firing(alert, story.fires, proof.shown.get(at).copied().unwrap_or_default()));
        if let Some(over) = story.over {
            text.push_str(&silent(name, over));
        }
    }
    let times = || proof.stories.iter().map(|story| story.fires);
    if proof.single != Err(Inapplicable::Always) {
        text.push_str(&head(&format!("{name}: no traffic"), proof, &proof.idle));
        text.extend(times().map(|at| silent(name, at)));
    }
    match &proof.single {
        Ok(series) => {
            text.push_str(&head(&format!("{name}: one failure at low traffic"), proof, series));
            let asked = times().chain(proof.single_asked.iter().copied());
            text.extend(asked.map(|at| silent(name, at)));
        }
        Err(why) => text.push_str(&yaml::comment(&format!("{name}: {}", inapplicable(*why)), 2)),
    }
    text
}

const fn inapplicable(why: Inapplicable) -> &'static str {
    match why {
        Inapplicable::State => "one failure at low traffic: it is about a state, which no traffic makes",
        Inapplicable::OneIsEnough => "one failure at low traffic: one is what it is about",
        Inapplicable::Always => "no case but that it fires: it always does",
    }
}

fn head(name: &str, proof: &Proof, series: &Series) -> String {
    let mut text = format!(
        "  - name: {}\n    interval: {}\n    input_series:{}\n",
        yaml::string(name),
        proof.interval,
        if series.is_empty() { " []" } else { "" }
    );
    for (name, values) in series {
        let _ = writeln!(text, "      - series: {}", yaml::string(name));
        let _ = writeln!(text, "        values: {}", yaml::string(values));
    }
    text.push_str("    alert_rule_test:\n");
    text
}

fn silent(name: &str, at: &str) -> String {
    format!("      - alertname: {name}\n        eval_time: {at}\n        exp_alerts: []\n")
}

fn firing(alert: &Alert, at: &str, shown: &str) -> String {
    let mut labels = alert.proof.labels.clone();
    labels.extend(alert.labels());
    let annotations: Vec<_> = alert
        .annotations()
        .into_iter()
        .map(|(name, template)| (name, expanded(&template, &labels, shown)))
        .collect();
    let mut text =
        format!("      - alertname: {}\n        eval_time: {at}\n        exp_alerts:\n", alert.name);
    text.push_str("          -\n");
    text.push_str(&yaml::map("exp_labels", &labels, 12));
    text.push_str(&yaml::map("exp_annotations", &annotations, 12));
    text
}

/// The template as Prometheus expands it: labels by their names, the value as it is to be shown.
pub fn expanded(template: &str, labels: &[(&'static str, String)], shown: &str) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (inside, next) = after.split_once("}}").unwrap_or((after, ""));
        text.push_str(before);
        match inside.trim().strip_prefix("$labels.") {
            Some(name) => {
                let value = labels.iter().find(|(label, _)| *label == name);
                text.push_str(value.map_or("", |(_, value)| value.as_str()));
            }
            None => text.push_str(shown),
        }
        rest = next;
    }
    text.push_str(rest);
    text
}
