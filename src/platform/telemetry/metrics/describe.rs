//! Gives the recorder each metric's HELP text and unit, out of the catalogue.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::platform::telemetry::catalogue::{self, Kind};

/// Describes every metric of ours to the recorder in place.
pub(super) fn describe() {
    for metric in catalogue::all() {
        let (unit, told) = (unit(metric.unit), metric.told());
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, unit, told),
            Kind::Gauge => describe_gauge!(metric.name, unit, told),
            Kind::Histogram => describe_histogram!(metric.name, unit, told),
        }
    }
}

const fn unit(unit: catalogue::Unit) -> Unit {
    match unit {
        catalogue::Unit::Count => Unit::Count,
        catalogue::Unit::Bytes => Unit::Bytes,
        catalogue::Unit::Seconds => Unit::Seconds,
    }
}
