//! Pages of metrics: Prometheus text and OpenMetrics 1.0. What Prometheus would misunderstand fails the test.

use std::collections::{BTreeMap, HashSet};

/// Labels in alphabetical order.
pub type Labels = Vec<(String, String)>;

#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
    pub exemplar: Option<Exemplar>,
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.as_str())
    }

    /// Name and labels as they are written.
    pub fn series(&self) -> String {
        series(&self.name, &self.labels)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub trace_id: String,
    pub span_id: String,
    pub value: f64,
    /// Seconds since 1970.
    pub at: f64,
}

#[derive(Clone, Debug)]
pub struct Page {
    pub text: String,
    /// A family's type by its name.
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Page {
    /// Reads Prometheus text: every line is well-formed and no series is there twice.
    pub fn text(text: &str) -> Self {
        let mut page = Self { text: text.to_owned(), types: BTreeMap::new(), samples: Vec::new() };
        let mut seen = HashSet::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(comment) = line.strip_prefix("# ") {
                let kind = comment.strip_prefix("TYPE ").and_then(|rest| rest.split_once(' '));
                page.types.extend(kind.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
            } else {
                page.samples.push(sample(line, &mut seen));
            }
        }
        page
    }

    /// Reads OpenMetrics; the real Prometheus, which scrapes it in `tests/peers`, judges the rest of its form.
    pub fn open_metrics(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no # EOF is last: {text}"));
        let page = Self::text(body);
        for (name, kind) in &page.types {
            assert!(kind != "counter" || !name.ends_with("_total"), "a counter's family: {name}");
        }
        for sample in &page.samples {
            let (name, edge) = (&sample.name, sample.label("le"));
            assert!(edge.is_some() || sample.exemplar.is_none(), "an exemplar where none is allowed: {name}");
            assert!(
                edge.is_none_or(|edge| edge == "+Inf" || edge.contains('.')),
                "{name}: {edge:?} is no float"
            );
        }
        page
    }

    /// The sum of all samples of this name that have these labels; 0 without one.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |sample: &Sample| labels.iter().all(|(label, value)| sample.label(label) == Some(*value));
        self.of(name).filter(|sample| has(sample)).map(|sample| sample.value).sum::<f64>() as u64
    }

    /// The samples of this name.
    pub fn of(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The value of a series, written with its labels in alphabetical order.
    pub fn value(&self, series: &str) -> Option<f64> {
        let name = series.split('{').next().unwrap_or_default();
        self.of(name).find(|sample| sample.series() == series).map(|sample| sample.value)
    }

    /// The exemplars of a histogram with the labels of their buckets, in the page's order.
    pub fn exemplars(&self, histogram: &str) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        let name = format!("{histogram}_bucket");
        let buckets = self.samples.iter().filter(move |sample| sample.name == name);
        buckets.filter_map(|sample| Some((&sample.labels, sample.exemplar.as_ref()?)))
    }

    /// Panics unless each exemplar's value lies within its own bucket, which has counted it.
    pub fn check_exemplars(&self) {
        let mut below = (String::new(), f64::NEG_INFINITY, 0.0);
        for sample in self.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let (series, edge) = bucket(sample);
            if below.0 != series {
                below = (series.clone(), f64::NEG_INFINITY, 0.0);
            }
            if let Some(exemplar) = &sample.exemplar {
                assert!(
                    exemplar.value > below.1 && exemplar.value <= edge,
                    "{exemplar:?} in {series} {edge}"
                );
                assert!(sample.value > below.2, "not counted: {exemplar:?} in {series} {edge}");
            }
            below = (series, edge, sample.value);
        }
    }

    /// Panics unless all series of the histogram have the same buckets, rising, and `+Inf` last with the count.
    pub fn check_buckets(&self, histogram: &str) {
        let mut found = BTreeMap::<String, (Labels, Vec<(f64, f64)>)>::new();
        for sample in self.of(&format!("{histogram}_bucket")) {
            let (series, edge) = bucket(sample);
            let labels = sample.labels.iter().filter(|(label, _)| label != "le").cloned().collect();
            found.entry(series).or_insert((labels, Vec::new())).1.push((edge, sample.value));
        }
        let edges = |buckets: &[(f64, f64)]| buckets.iter().map(|(edge, _)| *edge).collect::<Vec<_>>();
        let expected = found.values().next().map(|(_, buckets)| edges(buckets));
        let expected = expected.unwrap_or_else(|| panic!("{histogram} has no series"));
        assert_eq!(expected.last(), Some(&f64::INFINITY), "{histogram}");
        for (name, (labels, buckets)) in found {
            assert_eq!(edges(&buckets), expected, "{name}");
            assert!(
                buckets.is_sorted_by(|before, after| before.0 < after.0 && before.1 <= after.1),
                "{name}"
            );
            let count = self.value(&series(&format!("{histogram}_count"), &labels));
            assert_eq!(buckets.last().map(|(_, count)| *count), count, "{name}");
        }
    }
}

/// A bucket's series without its edge, and the edge.
fn bucket(sample: &Sample) -> (String, f64) {
    let (edge, rest): (Labels, Labels) = sample.labels.iter().cloned().partition(|(label, _)| label == "le");
    (series(&sample.name, &rest), edge[0].1.parse().unwrap())
}

fn series(name: &str, labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    if pairs.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", pairs.join(",")) }
}

fn sample(line: &str, seen: &mut HashSet<String>) -> Sample {
    let (series, exemplar) = match line.split_once(" # ") {
        Some((series, exemplar)) => (series, Some(Exemplar::read(exemplar, line))),
        None => (line, None),
    };
    let (series, value) = series.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line:?}"));
    assert!(seen.insert(series.to_owned()), "a series is there twice: {line}");
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels_of(labels, line)),
        None => (series, Labels::new()),
    };
    let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    Sample { name: name.to_owned(), labels, value, exemplar }
}

impl Exemplar {
    fn read(text: &str, line: &str) -> Self {
        let (labels, numbers) = text.split_once("} ").unwrap_or_else(|| panic!("no labels: {line}"));
        let labels = labels.strip_prefix('{').unwrap_or_else(|| panic!("no labels: {line}")).to_owned() + "}";
        let labels = labels_of(&labels, line);
        let length: usize = labels.iter().map(|(label, value)| label.len() + value.len()).sum();
        assert!(length <= 128, "labels of {length} characters: {line}");
        let (value, at) = numbers.split_once(' ').unwrap_or_else(|| panic!("no timestamp: {line}"));
        let id = |name: &str, length| {
            let id = labels.iter().find(|(label, _)| label == name).map_or("", |(_, id)| id.as_str());
            let hex = id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            assert!(id.len() == length && hex, "{name}: {line}");
            id.to_owned()
        };
        assert_eq!(labels.len(), 2, "{line}");
        Self {
            trace_id: id("trace_id", 32),
            span_id: id("span_id", 16),
            value: value.parse().unwrap_or_else(|_| panic!("no number: {line}")),
            at: at.parse().unwrap_or_else(|_| panic!("no timestamp: {line}")),
        }
    }
}

/// `a="1",b="2"}` in alphabetical order. No value of ours needs an escape.
fn labels_of(text: &str, line: &str) -> Labels {
    let pairs = text.strip_suffix("\"}").unwrap_or_else(|| panic!("no brace: {line}"));
    assert!(!pairs.contains('\\'), "an escape: {line}");
    let mut labels = BTreeMap::new();
    for pair in pairs.split("\",") {
        let (name, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            "a label's name: {line}"
        );
        assert!(!value.contains('"'), "a quote that is not escaped: {line}");
        assert!(labels.insert(name.to_owned(), value.to_owned()).is_none(), "a label is there twice: {line}");
    }
    labels.into_iter().collect()
}
