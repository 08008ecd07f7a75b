//! PromQL out of names: every selector has the dashboard's `job` and `instance`, every rate its interval.

/// What every selector of a dashboard begins with.
const CHOSEN: &str = r#"job=~"$job",instance=~"$instance""#;

/// The least whole that is divided by: less than one event in a year.
const LEAST: &str = "1e-9";

/// The series of this name; `matchers` is empty or as `outcome="dead"`.
pub fn series(name: &str, matchers: &str) -> String {
    let comma = if matchers.is_empty() { "" } else { "," };
    format!("{name}{{{CHOSEN}{comma}{matchers}}}")
}

/// Events a second of a counter.
pub fn rate(name: &str, matchers: &str) -> String {
    format!("rate({}[$__rate_interval])", series(name, matchers))
}

/// Events of a counter within the rate interval, for what happens seldom.
pub fn increase(name: &str, matchers: &str) -> String {
    format!("increase({}[$__rate_interval])", series(name, matchers))
}

/// The sum, kept apart by these labels, as `channel, outcome`; of everything where there are none.
pub fn sum_by(labels: &str, inner: &str) -> String {
    aggregate("sum", labels, inner)
}

/// The largest: for gauges that every replica tells of one store.
pub fn max_by(labels: &str, inner: &str) -> String {
    aggregate("max", labels, inner)
}

/// An aggregation of PromQL by its name.
pub fn aggregate(operator: &str, labels: &str, inner: &str) -> String {
    if labels.is_empty() {
        format!("{operator}({inner})")
    } else {
        format!("{operator} by ({labels}) ({inner})")
    }
}

/// Seconds (or whatever the histogram is in) that a share `q` of 0 to 1 stays below, kept apart by `labels`.
/// Where nothing was counted there is nothing, rather than NaN.
pub fn quantile(q: f64, labels: &str, histogram: &str, matchers: &str) -> String {
    let by = if labels.is_empty() { "le".to_owned() } else { format!("le, {labels}") };
    let whole = sum_by(labels, &rate(&format!("{histogram}_count"), matchers));
    let on = if labels.is_empty() { "on ()".to_owned() } else { format!("on ({labels})") };
    let buckets = sum_by(&by, &rate(&format!("{histogram}_bucket"), matchers));
    format!("histogram_quantile({q}, {buckets}) and {on} ({whole} > 0)")
}

/// One part of another, where there is any: without traffic there is no share, and no division by zero.
pub fn share(part: &str, whole: &str) -> String {
    format!("{part} / ({whole} > 0)")
}

/// One part of another, and 0 without traffic: for shares of what is bad. The part may have no series yet.
pub fn share_or_zero(part: &str, whole: &str) -> String {
    format!("{} / clamp_min({whole}, {LEAST})", or_zero(part, whole))
}

/// 0 in the shape of `like` where `expr` has no series, as for the failures of what never failed.
pub fn or_zero(expr: &str, like: &str) -> String {
    format!("({expr} or 0 * {like})")
}

/// `expr`, and a 0 with `label="value"` where it has no such series: what did not happen yet is a line at 0
/// rather than an empty panel. `like` is a sum without labels of what is counted alike.
pub fn or_none(expr: &str, label: &str, value: &str, like: &str) -> String {
    format!(r#"{expr} or label_replace(0 * {like}, "{label}", "{value}", "", "")"#)
}
