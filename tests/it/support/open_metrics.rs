//! A page of metrics as a strict reader of OpenMetrics 1.0 takes it: what the specification forbids, and what
//! Prometheus would misunderstand, fails the test.

use std::collections::{BTreeMap, HashSet};

/// A series' labels in alphabetical order.
pub type Labels = Vec<(String, String)>;

pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
    pub exemplar: Option<Exemplar>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    pub trace_id: String,
    pub span_id: String,
    pub value: f64,
    /// Seconds since 1970.
    pub at: f64,
}

/// What was read.
pub struct Page {
    /// A family's type by its name.
    pub types: BTreeMap<String, String>,
    pub samples: Vec<Sample>,
}

impl Page {
    /// Fails, and says in which line, unless the page is as the specification has it.
    pub fn read(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no # EOF is last: {text}"));
        let mut page = Self { types: BTreeMap::new(), samples: Vec::new() };
        let (mut family, mut seen) = (String::new(), HashSet::new());
        for line in body.split_terminator('\n') {
            match line.strip_prefix("# ") {
                Some(told) => page.metadata(told, &mut family, line),
                None => page.sample(line, &family, &mut seen),
            }
        }
        page
    }

    fn metadata(&mut self, told: &str, family: &mut String, line: &str) {
        let mut words = told.splitn(3, ' ');
        let (keyword, name, rest) = (words.next(), words.next().unwrap_or(""), words.next().unwrap_or(""));
        match keyword {
            Some("TYPE") => {
                let known = ["counter", "gauge", "histogram", "unknown", "summary", "info", "stateset"];
                assert!(known.contains(&rest), "an unknown type: {line}");
                assert!(rest != "counter" || !name.ends_with("_total"), "a counter's family: {line}");
                let before = self.types.insert(name.to_owned(), rest.to_owned());
                assert!(before.is_none(), "a family is there twice, or in parts: {line}");
                name.clone_into(family);
            }
            Some("HELP") => {
                assert_eq!(name, family, "HELP of another family: {line}");
                unescaped(rest, line);
            }
            _ => panic!("neither TYPE nor HELP: {line:?}"),
        }
    }

    fn sample(&mut self, line: &str, family: &str, seen: &mut HashSet<String>) {
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
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("not of {family}: {line}"));
        let kind = self.types.get(family).map_or("", String::as_str);
        let allowed: &[&str] = match kind {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "a {kind} has no {suffix:?}: {line}");
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        assert!(exemplar.is_none() || suffix == "_bucket", "an exemplar where none is allowed: {line}");
        let edge = labels.iter().find(|(label, _)| label == "le").map(|(_, edge)| edge.clone());
        assert_eq!(suffix == "_bucket", edge.is_some(), "{line}");
        if let Some(edge) = edge {
            assert!(edge == "+Inf" || edge.contains('.'), "an edge that is not written as a float: {line}");
        }
        self.samples.push(Sample { name: name.to_owned(), labels, value, exemplar });
    }

    /// The exemplars of a histogram with the labels of their buckets, in the page's order.
    pub fn exemplars(&self, histogram: &str) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        let name = format!("{histogram}_bucket");
        let buckets = self.samples.iter().filter(move |sample| sample.name == name);
        buckets.filter_map(|sample| Some((&sample.labels, sample.exemplar.as_ref()?)))
    }

    /// The value of a series, written with its labels in alphabetical order.
    pub fn value(&self, series: &str) -> Option<f64> {
        let shown = |sample: &&Sample| {
            let pairs: Vec<_> =
                sample.labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
            let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
            sample.name.clone() + &labels == series
        };
        self.samples.iter().find(shown).map(|sample| sample.value)
    }

    /// Fails unless each exemplar's value lies within its own bucket, which has counted it.
    pub fn check_exemplars(&self) {
        let mut below = (Labels::new(), f64::NEG_INFINITY, 0.0);
        for sample in self.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let (edge, mut series): (Labels, Labels) =
                sample.labels.iter().cloned().partition(|(label, _)| label == "le");
            series.push(("".to_owned(), sample.name.clone()));
            let edge = edge[0].1.parse().unwrap();
            if below.0 != series {
                below = (series.clone(), f64::NEG_INFINITY, 0.0);
            }
            if let Some(exemplar) = &sample.exemplar {
                let within = exemplar.value > below.1 && exemplar.value <= edge;
                assert!(within, "{:?} in {} {:?}", exemplar, sample.name, sample.labels);
                assert!(sample.value > below.2, "not counted: {exemplar:?} {:?}", sample.labels);
            }
            below = (series, edge, sample.value);
        }
    }
}

impl Exemplar {
    fn read(text: &str, line: &str) -> Self {
        let (labels, numbers) = text.split_once("} ").unwrap_or_else(|| panic!("no labels: {line}"));
        let labels = labels.strip_prefix('{').unwrap_or_else(|| panic!("no labels: {line}")).to_owned() + "}";
        let labels = labels_of(&labels, line);
        let length: usize = labels.iter().map(|(label, value)| label.len() + value.len()).sum();
        assert!(length <= 128, "labels of {length} characters: {line}");
        let (value, at) = numbers.split_once(' ').unwrap_or_else(|| panic!("no timestamp: {line}"));
        let [(span, span_id), (trace, trace_id)] = labels.as_slice() else { panic!("{line}") };
        assert_eq!((&**span, &**trace), ("span_id", "trace_id"), "{line}");
        let hex = |id: &str, length| {
            id.len() == length && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        assert!(hex(span_id, 16) && hex(trace_id, 32), "{line}");
        Self {
            trace_id: trace_id.clone(),
            span_id: span_id.clone(),
            value: value.parse().unwrap_or_else(|_| panic!("no number: {line}")),
            at: at.parse().unwrap_or_else(|_| panic!("no timestamp: {line}")),
        }
    }
}

/// `a="1",b="2"}` in alphabetical order.
fn labels_of(text: &str, line: &str) -> Labels {
    let mut rest = text.strip_suffix('}').unwrap_or_else(|| panic!("no brace: {line}"));
    let mut labels = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        let word = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        assert!(word(name) && !name.is_empty(), "a label's name: {line}");
        let mut escaped = false;
        let end = after.find(|letter| {
            let ends = letter == '"' && !escaped;
            escaped = letter == '\\' && !escaped;
            ends
        });
        let (value, after) = after.split_at(end.unwrap_or_else(|| panic!("no end of a value: {line}")));
        let value = unescaped(value, line);
        assert!(labels.insert(name.to_owned(), value).is_none(), "a label is there twice: {line}");
        rest = after.strip_prefix("\",").unwrap_or(after.trim_start_matches('"'));
    }
    labels.into_iter().collect()
}

fn unescaped(text: &str, line: &str) -> String {
    let (mut plain, mut letters) = (String::new(), text.chars());
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some(letter @ ('"' | '\\')) => letter,
                other => panic!("\\{other:?} is no escape: {line}"),
            },
            '"' => panic!("a quote that is not escaped: {line}"),
            letter => letter,
        });
    }
    plain
}
