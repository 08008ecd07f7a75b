//! Whether the scene was worth asking about: every metric of ours is there, and everything that can move did.

use super::{checks::Checker, prometheus::Labels, promql::family};
use std::collections::BTreeSet;

/// What no scene of two minutes moves, each with its reason: `name`, or a part of `name{label="value",…}`.
const STILL: &[(&str, &str)] = &[];

/// The names of all metrics, as the service's own file has them.
fn names() -> BTreeSet<&'static str> {
    let file = include_str!("../../../src/platform/telemetry/names.rs");
    let (_, metrics) = file.split_once("// Metrics:").unwrap();
    let (metrics, _) = metrics.split_once("// Metric labels.").unwrap();
    metrics.lines().filter_map(|line| line.strip_prefix("pub const ")?.split('"').nth(1)).collect()
}

/// What is missing, and what stood still though it can move.
pub fn faults(checker: &Checker<'_>, series: &[Labels]) -> Vec<String> {
    let found: BTreeSet<&str> = series.iter().map(|labels| family(&labels["__name__"])).collect();
    let all = names();
    let missing = all.iter().filter(|name| !found.contains(**name));
    let missing = missing.map(|name| format!("{name} was not scraped: no scene exports it"));
    missing
        .chain(all.iter().filter(|name| found.contains(**name)).flat_map(|name| still(checker, name)))
        .collect()
}

/// Series of this metric that always had the same value, on all services.
fn still(checker: &Checker<'_>, name: &str) -> Vec<String> {
    let seconds = checker.window.to - checker.window.from;
    let over = |function: &str| format!("{function}_over_time({name}[{seconds}s])");
    let counter = name.ends_with("_total");
    let moved = match counter {
        true => format!("max without (job, instance) ({})", over("max")),
        false => format!("max without (job, instance) ({} - {})", over("max"), over("min")),
    };
    let answer = checker.prometheus.instant(&moved, checker.window.to).unwrap();
    let still: Vec<String> =
        answer.iter().filter(|one| one.values == ["0"]).map(|one| shown(name, &one.labels)).collect();
    // One series of a gauge that moves is enough: not every state is met in two minutes.
    if !counter && still.len() < answer.len() {
        return Vec::new();
    }
    let expected = |series: &String| STILL.iter().any(|(part, _)| series.contains(part));
    still
        .into_iter()
        .filter(|series| !expected(series))
        .map(|series| format!("{series} did not move"))
        .collect()
}

fn shown(name: &str, labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    format!("{name}{{{}}}", pairs.join(","))
}
