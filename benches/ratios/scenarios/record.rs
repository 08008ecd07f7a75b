//! What one record of a histogram costs in a sampled span, exemplar included: all of it happens on the path of
//! a request. Measured in this process, on one thread, with a handle that is kept, as everywhere that is hot.

use std::time::{Duration, Instant};

use epro_notify::platform::{
    config::Reader,
    telemetry::{Exposition, Service, TelemetryConfig, init_for_tests, names},
};
use metrics::{Histogram, histogram};
use tracing::info_span;

use super::{Promise, Rows};
use crate::Result;
use crate::bench::Bench;
use crate::machine::Watch;
use crate::repeat::repeat;
use crate::report::Goal::{AtMost, None as Told};

const SAMPLED: Promise = Promise("record with an exemplar", "ns", AtMost(300.0, 150.0));
const ALONE: Promise = Promise("record in no span", "ns", Told);

/// What [`measure`] tells.
pub const PROMISES: [Promise; 2] = [SAMPLED, ALONE];

/// Records between two scrapes, which move what was recorded into buckets.
const RECORDS: u32 = 20_000;
/// Seconds, spread over several buckets.
const VALUES: [f64; 4] = [0.004, 0.02, 0.06, 0.3];

/// # Errors
/// When telemetry can't be set up, or the machine is never quiet.
pub fn measure(bench: &Bench, rows: &mut Rows<'_>) -> Result<()> {
    let config = TelemetryConfig::read(&mut Reader::for_tests(&[("OTEL_TRACES_SAMPLER", "always_on")]));
    let service = Service { name: "bench", version: "0" };
    let telemetry = init_for_tests(&config, service, Box::new(std::io::sink()))?;
    let render = || drop(telemetry.telemetry.metrics.render_as(Exposition::OpenMetrics));
    let costs = telemetry.run(|| {
        let handle = histogram!(names::HTTP_REQUEST_DURATION, names::LABEL_ROUTE => "/a");
        let span = info_span!(target: "epro_notify::bench", "request");
        repeat(&bench.options, |_| {
            let watch = Watch::start()?;
            let each = |span: &tracing::Span| {
                span.in_scope(|| nanoseconds(&handle, bench.options.window() / 4, render))
            };
            let (sampled, alone) = (each(&span), each(&tracing::Span::none()));
            eprintln!("  {sampled:.0} ns with an exemplar, {alone:.0} ns in no span");
            Ok(((sampled, alone), watch.foreign()?))
        })
    })?;
    let raw = "one thread, a scrape each 20,000 records, not counted";
    rows.add(SAMPLED, costs.middle(|(sampled, _)| *sampled), costs.doubtful, raw.to_owned());
    rows.add(ALONE, costs.middle(|(_, alone)| *alone), costs.doubtful, raw.to_owned());
    Ok(())
}

/// What one record took on average, over at least so long.
fn nanoseconds(handle: &Histogram, least: Duration, render: impl Fn()) -> f64 {
    let (mut took, mut records) = (Duration::ZERO, 0.0);
    while took < least {
        let begun = Instant::now();
        for number in 0..RECORDS {
            handle.record(VALUES[number as usize % VALUES.len()]);
        }
        took += begun.elapsed();
        records += f64::from(RECORDS);
        render();
    }
    took.as_secs_f64() * 1e9 / records
}
