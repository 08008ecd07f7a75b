//! Every query of this repository: dashboards with their annotations and variables, rules, runbooks.

use crate::{read::boards, root};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// A query and where it stands.
pub struct Query {
    pub place: String,
    pub text: String,
}

/// A rule of Prometheus.
pub struct Rule {
    pub file: String,
    /// The series that it records, unless it is an alert.
    pub record: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub query: String,
}

/// What dashboards and rules ask: what a metric has to be used by.
pub fn looked_at() -> Vec<Query> {
    let boards = boards().unwrap();
    let of_boards = boards.iter().flat_map(|board| {
        let panels = board.panels().into_iter().flat_map(move |panel| {
            let targets = panel.targets().into_iter().filter(|target| target.source() == "prometheus");
            targets.map(move |target| query(format!("{}: {}", board.file, panel.title()), target.expr()))
        });
        let annotations = board.annotations().iter().filter_map(move |annotation| {
            Some(query(format!("{}: annotation", board.file), annotation["expr"].as_str()?))
        });
        panels.chain(annotations)
    });
    let of_rules = rules().into_iter().map(|rule| query(rule.file, &rule.query));
    of_boards.chain(of_rules).collect()
}

/// What is asked besides: for choices, and by hand.
pub fn others() -> Vec<Query> {
    let boards = boards().unwrap();
    let of_variables = boards.iter().flat_map(|board| {
        let queries = board.variables().into_iter().filter(|variable| variable.kind() == "query");
        queries.filter_map(move |variable| {
            let (series, _) = variable.query().strip_prefix("label_values(")?.rsplit_once(',')?;
            Some(query(format!("{}: {}", board.file, variable.name()), series))
        })
    });
    of_variables.chain(runbooks()).collect()
}

fn query(place: String, text: &str) -> Query {
    Query { place, text: text.to_owned() }
}

/// All rules that Prometheus is given.
pub fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for (file, text) in texts("deploy/prometheus/rules", ".yml") {
        let read: Value = serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        let groups = read["groups"].as_array().unwrap_or_else(|| panic!("{file}: no groups"));
        for rule in groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()) {
            let text = |key: &str| rule[key].as_str().map(str::to_owned);
            let labels = rule["labels"].as_object().into_iter().flatten();
            let labels =
                labels.map(|(label, value)| (label.clone(), value.as_str().unwrap_or_default().to_owned()));
            let query = text("expr").unwrap_or_else(|| panic!("{file}: a rule without expr"));
            rules.push(Rule { file: file.clone(), record: text("record"), labels: labels.collect(), query });
        }
    }
    assert!(!rules.is_empty(), "no rules were found");
    rules
}

/// The blocks of PromQL in the runbooks.
fn runbooks() -> Vec<Query> {
    let of_page = |(file, text): (String, String)| {
        let blocks = text.split("```promql\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.map(|block| query(file.clone(), block.trim())).collect::<Vec<_>>()
    };
    texts("deploy/runbooks", ".md").into_iter().flat_map(of_page).collect()
}

/// The files of a folder with this ending, by name.
pub fn texts(folder: &str, ending: &str) -> Vec<(String, String)> {
    let entries = fs::read_dir(root().join(folder)).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    let read = |name: String| {
        let file = format!("{folder}/{name}");
        let text = fs::read_to_string(root().join(&file)).unwrap();
        (file, text)
    };
    names.into_iter().map(read).collect()
}
