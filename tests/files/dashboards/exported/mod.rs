//! What can be asked for: our own series with their labels and values, those of the usual collectors, and
//! what the rules record.

mod judge;
mod mutations;
mod queries;

use chassis_telemetry::catalogue::{self, Kind, Values};
pub use queries::texts;
use queries::{Rule, rules};
use std::collections::{BTreeMap, BTreeSet};

/// The values that a label may have; any where there is no list.
type Listed = Option<BTreeSet<String>>;
type Labels = BTreeMap<String, Listed>;

/// A metric of ours, as the catalogue has it or as a test has changed it.
#[derive(Clone)]
pub struct Metric {
    name: String,
    kind: Kind,
    buckets: &'static [f64],
    labels: Labels,
}

/// Series by their names. Other people's are known by how their names begin.
pub struct Exported {
    series: BTreeMap<String, Labels>,
    /// The metric that each series of ours belongs to.
    family: BTreeMap<String, String>,
    /// The labels of what is known by how its name begins.
    foreign: Labels,
}

/// What Prometheus and the usual collectors make.
const FOREIGN: &[&str] = &["process_", "tokio_", "scrape_"];
/// What every scraped series has.
const SCRAPED: &[&str] = &["job", "instance"];

impl Exported {
    pub fn read() -> Self {
        Self::of(&ours(), &rules())
    }

    fn of(metrics: &[Metric], rules: &[Rule]) -> Self {
        let mut exported = Self { series: BTreeMap::new(), family: BTreeMap::new(), foreign: open(SCRAPED) };
        for metric in metrics {
            for (series, labels) in metric.series() {
                exported.family.insert(series.clone(), metric.name.clone());
                exported.series.insert(series, labels);
            }
        }
        let alerts = ["alertname", "alertstate", "severity"];
        exported.series.insert("ALERTS".into(), open(&alerts));
        exported.series.insert("up".into(), open(SCRAPED));
        for rule in rules {
            let Some(record) = rule.record.clone() else { continue };
            let labels = exported.series.entry(record).or_insert_with(|| open(SCRAPED));
            for (label, value) in rule.labels.clone() {
                labels
                    .entry(label)
                    .or_insert_with(|| Some(BTreeSet::new()))
                    .get_or_insert_default()
                    .insert(value);
            }
        }
        exported
    }

    /// The labels of a series of this name; nothing where there is none.
    fn known(&self, name: &str) -> Option<&Labels> {
        let foreign = FOREIGN.iter().any(|prefix| name.starts_with(prefix));
        self.series.get(name).or_else(|| foreign.then_some(&self.foreign))
    }

    /// The names of the labels that series of this name have.
    pub fn labels(&self, name: &str) -> BTreeSet<String> {
        self.known(name).into_iter().flat_map(|labels| labels.keys().cloned()).collect()
    }
}

fn open(labels: &[&str]) -> Labels {
    labels.iter().map(|label| ((*label).to_owned(), None)).collect()
}

/// Every metric of the services.
pub fn catalogue() -> impl Iterator<Item = &'static catalogue::Metric> {
    let mut all: Vec<_> = crate::services::catalogues().into_iter().flatten().collect();
    all.sort_by_key(|metric| metric.name);
    all.dedup_by_key(|metric| metric.name);
    all.into_iter()
}

/// The catalogue as tests change it.
fn ours() -> Vec<Metric> {
    let metrics = catalogue().map(|metric| Metric {
        name: metric.name.to_owned(),
        kind: metric.kind,
        buckets: metric.buckets,
        labels: metric
            .labels
            .iter()
            .map(|(label, values)| ((*label).to_owned(), listed(label, *values)))
            .collect(),
    });
    metrics.collect()
}

fn listed(label: &str, values: Values) -> Listed {
    match values {
        Values::Closed(values) => Some(values.iter().map(|value| (*value).to_owned()).collect()),
        // What HTTP allows.
        Values::Open(_) if label == "status" => Some((100..600).map(|code: u32| code.to_string()).collect()),
        Values::Open(_) => None,
    }
}

impl Metric {
    /// The series that Prometheus makes of it.
    fn series(&self) -> Vec<(String, Labels)> {
        let mut labels = open(SCRAPED);
        labels.extend(self.labels.clone());
        if self.kind != Kind::Histogram {
            return vec![(self.name.clone(), labels)];
        }
        let mut buckets = labels.clone();
        buckets.insert("le".into(), Some(self.edges()));
        let named = |end: &str| format!("{}_{end}", self.name);
        vec![(named("bucket"), buckets), (named("sum"), labels.clone()), (named("count"), labels)]
    }

    /// Prometheus writes 60 as `60` or `60.0`, by its version and the format that it scraped.
    fn edges(&self) -> BTreeSet<String> {
        let both = self.buckets.iter().flat_map(|edge| [format!("{edge}"), format!("{edge:?}")]);
        both.chain(["+Inf".to_owned()]).collect()
    }
}
