//! The rules before Prometheus' own `promtool`, and the routing before Alertmanager's `amtool`. Each case is tried on changed rules
//! as well, so that none passes whatever the rule says. Not part of `cargo test`, which needs neither program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

const ROUTES: &str = "deploy/alertmanager/alertmanager.yml";

/// What a program said, and whether it was content.
struct Said {
    content: bool,
    text: String,
}

/// Where the repository is: Cargo runs a test there.
fn root() -> PathBuf {
    std::env::current_dir().unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Said {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        // Of a case's second a third is its collection of garbage.
        .env("GOGC", "400")
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test --install` fetches it"));
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Said { content: output.status.success(), text }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("deploy/prometheus").join(folder)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn yaml(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap();
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn rules_of(group: &Value) -> impl Iterator<Item = &Value> {
    group["rules"].as_array().unwrap().iter()
}

/// An alert with the groups of recorded series that it reads, and its cases.
#[derive(Clone)]
struct Alert {
    name: String,
    rule: Value,
    recorded: Vec<Value>,
    /// The cases' file with only this alert's.
    cases: Value,
}

/// Every alert, with what it is proven by.
fn alerts() -> Vec<Alert> {
    let rules: Vec<Value> = files("rules").iter().map(|file| yaml(file)).collect();
    let cases: Vec<Value> = files("tests").iter().map(|file| yaml(file)).collect();
    let groups: Vec<&Value> = rules.iter().flat_map(|file| file["groups"].as_array().unwrap()).collect();
    let all = groups.iter().flat_map(|group| rules_of(group)).filter(|rule| rule["alert"].is_string());
    let alert = |rule: &Value| {
        let name = rule["alert"].as_str().unwrap().to_owned();
        let expr = rule["expr"].as_str().unwrap();
        let recorded = groups.iter().filter_map(|group| recorded(group, expr)).collect();
        let mine =
            |case: &Value| case["name"].as_str().is_some_and(|text| text.starts_with(&format!("{name}:")));
        let file = cases.iter().find(|file| file["tests"].as_array().unwrap().iter().any(mine));
        let mut file = file.unwrap_or_else(|| panic!("{name} has no cases")).clone();
        file["tests"].as_array_mut().unwrap().retain(mine);
        file["rule_files"] = json!(["rules.yml"]);
        Alert { name, rule: rule.clone(), recorded, cases: file }
    };
    all.map(alert).collect()
}

/// A group with those of its recorded series, directly or by another one, that this expression reads.
fn recorded(group: &Value, expr: &str) -> Option<Value> {
    let reads = |rule: &&Value| {
        let name = rule["record"].as_str().unwrap_or("\0");
        let objective = rule["labels"]["sloth_id"].as_str().unwrap_or_default();
        expr.contains(name) && expr.contains(objective)
    };
    let mut kept: Vec<Value> = rules_of(group).filter(reads).cloned().collect();
    loop {
        let text = json!(kept).to_string();
        let needed = rules_of(group).filter(|rule| {
            rule["record"]
                .as_str()
                .is_some_and(|name| text.contains(&format!("{name}{{")) || text.contains(&format!("{name}[")))
                && !kept.contains(rule)
        });
        let needed: Vec<Value> = needed.cloned().collect();
        if needed.is_empty() {
            break;
        }
        kept.extend(needed);
    }
    kept.sort_by_key(|rule| rules_of(group).position(|other| other == rule));
    (!kept.is_empty()).then(|| json!({ "name": group["name"], "rules": kept }))
}

/// What `promtool` makes of the alert's cases on these rules: its own alone, since it evaluates all that there are in each
/// minute of each case.
fn proven(place: &str, alert: &Alert) -> Said {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(place);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let mut groups = alert.recorded.clone();
    groups.push(json!({ "name": "alone", "rules": [alert.rule] }));
    fs::write(folder.join("rules.yml"), json!({ "groups": groups }).to_string()).unwrap();
    let mut cases = alert.cases.clone();
    let names: Vec<&Value> = groups.iter().map(|group| &group["name"]).collect();
    cases["group_eval_order"] = json!(names);
    let file = folder.join("cases.yml");
    fs::write(&file, cases.to_string()).unwrap();
    let said = run("promtool", &["test", "rules", &file.to_string_lossy()]);
    let _ = fs::remove_dir_all(folder);
    said
}

/// What each alert's test finds, two at a time: promtool takes a processor each.
fn faults(test: impl Fn(&Alert) -> Vec<String> + Sync) -> Vec<String> {
    let alerts = alerts();
    let every_second =
        |first: usize| alerts.iter().skip(first).step_by(2).flat_map(&test).collect::<Vec<_>>();
    thread::scope(|scope| {
        let halves = [0, 1].map(|first| scope.spawn(move || every_second(first)));
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    })
}

#[test]
fn prometheus_takes_the_rule_files() {
    for file in files("rules") {
        let said = run("promtool", &["check", "rules", &file.to_string_lossy()]);
        assert!(said.content, "{}", said.text);
    }
}

#[test]
fn each_alert_passes_its_cases() {
    let faults = faults(|alert| {
        let said = proven(&format!("cases-{}", alert.name), alert);
        if said.content { Vec::new() } else { vec![format!("{}: {}", alert.name, said.text)] }
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_changed_alert_passes_the_cases_of_the_real_one() {
    let survivors = faults(|alert| {
        let survived = |(what, mutant): (String, Alert)| {
            let said = proven(&format!("mutant-{}", alert.name), &mutant);
            said.content.then(|| format!("{}: {what}", alert.name))
        };
        mutants(alert).into_iter().filter_map(survived).collect()
    });
    assert_eq!(survivors, [""; 0]);
}

/// The alert with each of its parts spoiled in turn. Alerts on objectives are of one form, and days of samples take promtool seconds:
/// their thresholds are changed all at once.
fn mutants(alert: &Alert) -> Vec<(String, Alert)> {
    let expr = alert.rule["expr"].as_str().unwrap();
    let of_objective = alert.rule["labels"]["component"] == "slo";
    let changed = |what: &str, key: &str, value: Value| {
        let mut mutant = alert.clone();
        mutant.rule[key] = value;
        (what.to_owned(), mutant)
    };
    let mut mutants = vec![changed("never", "expr", json!(format!("({expr}) unless on () vector(1)")))];
    if !of_objective {
        let severity = if alert.rule["labels"]["severity"] == "page" { "ticket" } else { "page" };
        let mut labels = alert.rule["labels"].clone();
        labels["severity"] = json!(severity);
        mutants.push(changed("another severity", "labels", labels));
        if alert.rule["labels"]["severity"] != "none" {
            let held = alert.rule["for"].as_str().and_then(|held| held.strip_suffix('m'));
            let held = held.map_or("100d".to_owned(), |minutes| format!("{minutes}00m"));
            mutants.push(changed("a hundred times its patience", "for", json!(held)));
        }
        for (nth, (at, operator)) in comparisons(expr).into_iter().enumerate() {
            let sign = if operator.starts_with('<') { "-" } else { "" };
            let (before, after) = expr.split_at(at + operator.len());
            let what = format!("threshold {} out of reach", nth + 1);
            mutants.push(changed(&what, "expr", json!(format!("{before} {sign}1e15 + {after}"))));
        }
    }
    if expr.contains("by (job, store") {
        mutants.push(changed("stores taken together", "expr", json!(expr.replace(", store", ""))));
        mutants.push(changed("replicas added up", "expr", json!(expr.replace("max by", "sum by"))));
    }
    if !comparisons(expr).is_empty() {
        let passed = comparisons(expr).iter().rev().fold(expr.to_owned(), |expr, (at, operator)| {
            let sign = if operator.starts_with('<') { "" } else { "-" };
            let (before, after) = expr.split_at(*at);
            let now = if matches!(*operator, "==" | "!=") { ">" } else { *operator };
            format!("{before}{now} {sign}1e15 + {}", after.split_at(operator.len()).1)
        });
        mutants.push(changed("every threshold passed", "expr", json!(passed)));
    }
    mutants
}

/// Where the comparisons are, and which.
fn comparisons(expr: &str) -> Vec<(usize, &'static str)> {
    let operators = [">", "<", ">=", "<=", "==", "!="].into_iter();
    let found = operators.flat_map(|operator| {
        let word = format!(" {operator} ");
        expr.match_indices(&word).map(|(at, _)| (at + 1, operator)).collect::<Vec<_>>()
    });
    let mut found: Vec<_> = found.collect();
    found.sort_unstable();
    found
}

#[test]
fn alertmanager_takes_the_configuration_and_each_alert_goes_to_whom_its_severity_calls() {
    let said = run("amtool", &["check-config", ROUTES]);
    assert!(said.content, "{}", said.text);
    for alert in alerts() {
        let labels = alert.rule["labels"].as_object().unwrap();
        let receiver = match labels["severity"].as_str().unwrap() {
            "none" => "deadman",
            severity => severity,
        };
        let mut words = vec![format!("alertname={}", alert.name)];
        words.extend(labels.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap())));
        let said = routed(receiver, &words);
        assert!(said.content, "{}: {}", alert.name, said.text);
    }
    assert!(!routed("ticket", &["alertname=StoreFailing".to_owned(), "severity=page".to_owned()]).content);
}

fn routed(receiver: &str, labels: &[String]) -> Said {
    let verify = format!("--verify.receivers={receiver}");
    let mut arguments = vec!["config", "routes", "test", "--config.file", ROUTES, &verify];
    arguments.extend(labels.iter().map(String::as_str));
    run("amtool", &arguments)
}
