//! What an alert leads to is there: its panel, its section in a runbook, its five cases; and routing and
//! runbooks name nothing that is not. What its expression does, `promtool` says in `tests/promtool`.

#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use observability::{
    files::root,
    rules::{
        alert::{Alert, Severity},
        alerts,
        proof::Inapplicable,
    },
};
use promql_parser::parser;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

/// The runbooks by their names without `.md`.
fn runbooks() -> BTreeMap<String, String> {
    let entries = fs::read_dir(root().join("deploy/runbooks")).unwrap();
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect()
}

/// What follows each line that begins so, up to the line end.
fn after<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(begin)).collect()
}

#[test]
fn each_alert_links_a_panel_that_exists() {
    let dead: Vec<_> = alerts().into_iter().filter(|alert| alert.panel_id().is_none()).collect();
    let dead: Vec<_> = dead.iter().map(|alert| (&alert.name, alert.panel)).collect();
    assert!(dead.is_empty(), "{dead:?}");
}

#[test]
fn a_panel_that_is_gone_is_noticed() {
    let alert = Alert::page("A", "b", "vector(1)").see("slo", "service-overview", "No such panel");
    assert_eq!(alert.panel_id(), None);
    assert_eq!(alert.see("slo", "no-such-dashboard", "Burn rate").panel_id(), None);
}

#[test]
fn each_alert_has_its_section_and_each_section_its_alert() {
    let wanted: BTreeSet<(String, String)> =
        alerts().into_iter().map(|alert| (alert.runbook.to_owned(), alert.name)).collect();
    let found: Vec<(String, String)> = runbooks()
        .iter()
        .flat_map(|(page, text)| after(text, "## ").into_iter().map(|name| (page.clone(), name.to_owned())))
        .collect();
    assert_eq!(found.len(), wanted.len(), "a section is there twice");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted);
}

#[test]
fn each_section_says_what_it_means_how_to_see_it_what_to_do_and_when_it_is_over() {
    for (page, text) in runbooks() {
        for section in text.split("\n## ").skip(1) {
            for part in ["**Means.**", "**See.**", "**Do.**", "**Over.**", "**Do not**", "```promql\n"] {
                assert!(section.contains(part), "{page}: {part} is missing in {section}");
            }
        }
    }
}

/// The blocks of PromQL in a page.
fn queries(text: &str) -> Vec<&str> {
    text.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect()
}

#[test]
fn each_query_of_a_runbook_parses_and_names_what_is_there() {
    let names = fs::read_to_string(root().join("src/platform/telemetry/names.rs")).unwrap();
    let recorded = fs::read_to_string(root().join("deploy/prometheus/rules/slo.yml")).unwrap();
    for (page, text) in runbooks() {
        for query in queries(&text) {
            let parsed = parser::parse(query).unwrap_or_else(|error| panic!("{page}: {query}: {error}"));
            let unknown = unknown(&parsed.to_string(), &names, &recorded);
            assert!(unknown.is_empty(), "{page}: {query}: {unknown:?}");
        }
    }
}

/// Words of a query that have the form of a metric's name and are none.
fn unknown(query: &str, names: &str, recorded: &str) -> Vec<String> {
    let outside = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let words = outside.split(|c: char| !(c.is_ascii_alphanumeric() || "_:".contains(c)));
    let metric = |word: &&str| word.contains("_total") || word.contains("_seconds") || word.contains(':');
    words
        .filter(metric)
        .filter(|word| {
            let base =
                ["_bucket", "_count", "_sum"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
            let ours = names.contains(&format!("\"{base}\""));
            !(ours || word.starts_with("process_") || recorded.contains(&format!("record: {word}\n")))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_query_on_a_metric_that_is_gone_is_found() {
    let unknown = |query| unknown(query, "const A: &str = \"a_total\";", "record: slo:a\n");
    assert_eq!(unknown("rate(a_total[5m]) + slo:a"), Vec::<String>::new());
    assert_eq!(unknown("rate(b_total[5m])"), ["b_total"]);
    assert_eq!(unknown("slo:b > 1"), ["slo:b"]);
}

/// What lacks of the five cases: fires, is quiet, resolves, no traffic, one failure at low traffic.
fn missing(alert: &Alert) -> Vec<&'static str> {
    let proof = &alert.proof;
    let always = proof.single == Err(Inapplicable::Always);
    let mut missing = Vec::new();
    if proof.stories.is_empty() || (!always && proof.stories.iter().any(|story| story.series.is_empty())) {
        missing.push("fires");
    }
    if !always && proof.stories.iter().any(|story| story.quiet.is_none()) {
        missing.push("quiet");
    }
    if !always && proof.stories.iter().any(|story| story.over.is_none()) {
        missing.push("resolves");
    }
    if !always && proof.idle.is_empty() {
        missing.push("no traffic");
    }
    if proof.single.as_ref().is_ok_and(Vec::is_empty) {
        missing.push("one failure");
    }
    missing
}

#[test]
fn each_alert_has_its_five_cases_or_says_why_not() {
    let missing: Vec<_> = alerts()
        .iter()
        .map(|alert| (alert.name.clone(), missing(alert)))
        .filter(|(_, missing)| !missing.is_empty())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert_eq!(self::missing(&Alert::page("A", "b", "up == 0")), ["fires", "no traffic"]);
}

#[test]
fn each_alert_says_all_that_it_has_to() {
    for alert in alerts() {
        let texts = [&alert.when, &alert.why, &alert.summary, &alert.description];
        assert!(texts.iter().all(|text| text.len() > 20), "{}", alert.name);
        assert!(alert.summary.len() < 120, "{}: a summary is for a phone's screen", alert.name);
        assert_eq!(alert.severity == Severity::None, alert.name == "Watchdog");
        for template in [&alert.summary, &alert.description] {
            for label in template.split("$labels.").skip(1) {
                let label: String =
                    label.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                let known = alert.proof.labels.iter().any(|(name, _)| *name == label);
                assert!(known, "{}: {label} is no label of what fires", alert.name);
            }
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
