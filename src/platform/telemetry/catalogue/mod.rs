//! Every metric of ours: its kind, unit, labels with their values, and meaning.
//!
//! HELP texts, the README's table and the checks of dashboards and alerts are made of it. Only names and
//! plain types are in here, so that the package `observability` reads the same files.

mod calls;
mod domain;
mod own;
mod requests;
mod work;

use super::names;

/// What Prometheus calls the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
    Seconds,
}

/// The values that a label may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// These and no others.
    Closed(&'static [&'static str]),
    /// As many as are configured or built, and what they are.
    Open(&'static str),
}

/// A label's name and its values.
pub type Label = (&'static str, Values);

/// One metric, by its name in Prometheus' text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [Label],
    /// Sentences.
    pub help: &'static str,
    /// Told by every replica of one store: the largest is right, the sum is not.
    pub store_wide: bool,
    /// The heading of the README that says more.
    pub see: Option<&'static str>,
}

/// All metrics, in the order of the README.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    [requests::METRICS, domain::METRICS, work::METRICS, calls::METRICS, own::METRICS].into_iter().flatten()
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Metric {
    /// The meaning, with how to sum it up.
    pub fn told(&self) -> String {
        let rule = if self.store_wide { " Store-wide: take max, never sum." } else { "" };
        format!("{}{rule}", self.help)
    }

    const fn new(kind: Kind, unit: Unit, name: &'static str, help: &'static str) -> Self {
        Self { name, kind, unit, labels: &[], help, store_wide: false, see: None }
    }

    const fn labels(mut self, labels: &'static [Label]) -> Self {
        self.labels = labels;
        self
    }

    const fn bytes(mut self) -> Self {
        self.unit = Unit::Bytes;
        self
    }

    const fn seconds(mut self) -> Self {
        self.unit = Unit::Seconds;
        self
    }

    const fn store_wide(mut self) -> Self {
        self.store_wide = true;
        self
    }

    const fn see(mut self, heading: &'static str) -> Self {
        self.see = Some(heading);
        self
    }
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Counter, Unit::Count, name, help)
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Gauge, Unit::Count, name, help)
}

/// Of durations.
const fn histogram(name: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Histogram, Unit::Seconds, name, help)
}

// Labels that more than one metric has.
const CHANNEL: Label = (names::LABEL_CHANNEL, Values::Closed(&["sms", "push"]));
const DONE: Label = (names::LABEL_OUTCOME, Values::Closed(&["ok", "failed"]));
const GRPC_METHOD: Label = (names::LABEL_GRPC_METHOD, Values::Open(""));
const PRIORITY: Label = (names::LABEL_PRIORITY, Values::Closed(&["urgent", "normal", "bulk"]));
const PROVIDER: Label = (names::LABEL_PROVIDER, Values::Open("as configured"));
const SURFACE: Label = (names::LABEL_SURFACE, Values::Closed(&["http", "grpc"]));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_histograms_have_buckets() {
        let histograms = all().filter(|metric| metric.kind == Kind::Histogram);
        let mut described: Vec<_> = histograms.map(|metric| metric.name).collect();
        let mut bucketed: Vec<_> = names::HISTOGRAMS.iter().map(|(name, _)| *name).collect();
        described.sort_unstable();
        bucketed.sort_unstable();
        assert_eq!(described, bucketed);
    }

    #[test]
    fn names_are_unique_and_tell_kind_and_unit() {
        let mut names: Vec<_> = all().map(|metric| metric.name).collect();
        for metric in all() {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert_eq!(metric.name.ends_with("_seconds"), metric.unit == Unit::Seconds, "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
        names.sort_unstable();
        assert!(names.is_sorted_by(|before, after| before < after), "{names:?}");
    }

    #[test]
    fn no_metric_has_a_label_or_a_label_a_value_twice() {
        let unique = |list: &[&str]| (1..list.len()).all(|at| !list[at..].contains(&list[at - 1]));
        for metric in all() {
            assert!(unique(&metric.labels.iter().map(|(label, _)| *label).collect::<Vec<_>>()), "{metric:?}");
            for (label, values) in metric.labels {
                assert!(
                    !matches!(values, Values::Closed(values) if values.is_empty() || !unique(values)),
                    "{label}"
                );
            }
        }
    }
}
