//! How a crate or service describes its metrics: kind, unit, labels, buckets and help text, all constants.
//!
//! The recorder takes help texts and buckets from here; documents and dashboards are checked against it.

pub use metrics::Unit;

/// What Prometheus calls the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub unit: Unit,
    pub labels: &'static [Label],
    /// Upper edges of a histogram's buckets, rising, without `+Inf`.
    pub buckets: &'static [f64],
    /// Sentences.
    pub help: &'static str,
    /// Every replica of one store reports the same value: take the maximum, never the sum.
    pub store_wide: bool,
    /// Every combination of the label values, all closed, is there from the start with 0.
    pub from_zero: bool,
}

/// A counter; its name ends in `_total`.
pub const fn counter(name: &'static str, help: &'static str) -> Metric {
    let (kind, unit) = (Kind::Counter, Unit::Count);
    Metric { name, kind, unit, labels: &[], buckets: &[], help, store_wide: false, from_zero: false }
}

/// A gauge without a unit: see [`Metric::bytes`] and [`Metric::seconds`].
pub const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { kind: Kind::Gauge, ..counter(name, help) }
}

/// A histogram of seconds in [`REQUEST_BUCKETS`].
pub const fn histogram(name: &'static str, help: &'static str) -> Metric {
    let (kind, unit) = (Kind::Histogram, Unit::Seconds);
    Metric { kind, unit, buckets: REQUEST_BUCKETS, ..counter(name, help) }
}

/// Constant functions that set one field each.
macro_rules! setters {
    ($($name:ident($($argument:ident: $type:ty)?) { $field:ident = $value:expr })*) => {$(
        #[must_use]
        pub const fn $name(mut self, $($argument: $type)?) -> Self {
            self.$field = $value;
            self
        }
    )*};
}

impl Metric {
    setters! {
        labels(labels: &'static [Label]) { labels = labels }
        buckets(buckets: &'static [f64]) { buckets = buckets }
        count() { unit = Unit::Count }
        bytes() { unit = Unit::Bytes }
        seconds() { unit = Unit::Seconds }
        store_wide() { store_wide = true }
        from_zero() { from_zero = true }
    }
}

/// Seconds of a request: finer below 0.1 s, where an accept belongs, with an edge on each usual threshold.
pub const REQUEST_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    30.0,
];
