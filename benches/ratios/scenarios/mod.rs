//! The measurements, one file each, and what they have in common.

pub mod accept;
pub mod deliver;
pub mod drain;
pub mod grpc;
pub mod layers;
pub mod million;
pub mod start;

use crate::Result;
use crate::bench::Bench;
use crate::options::Scenario;
use crate::report::{Goal, Report, Row};

/// A figure that a scenario reports whether or not it can be measured, its unit, and its minimum and target.
#[derive(Clone, Copy)]
pub struct Promise(pub &'static str, pub &'static str, pub Goal);

/// Where a scenario puts its figures.
pub struct Rows<'a> {
    report: &'a mut Report,
    scenario: Scenario,
    told: Vec<&'static str>,
}

impl Rows<'_> {
    /// Adds a figure; `None` where its peer could not be measured. `doubtful` is whether it can't be judged,
    /// for a part of it was measured beside foreign load or in too small a way; `raw` are the numbers behind it.
    pub fn add(&mut self, promise: Promise, measured: Option<f64>, doubtful: bool, raw: String) {
        if let Some(value) = measured {
            self.row(promise, Ok(value), doubtful, raw);
        }
    }

    fn row(
        &mut self,
        promise: Promise,
        measured: std::result::Result<f64, String>,
        doubtful: bool,
        raw: String,
    ) {
        let Promise(figure, unit, goal) = promise;
        self.told.push(figure);
        self.report.add(Row { scenario: self.scenario, figure, unit, goal, measured, doubtful, raw });
    }

    /// Reports those figures that are still missing, with the reason.
    pub fn missing(&mut self, promises: &[Promise], reason: &str) {
        for promise in promises {
            if !self.told.contains(&promise.0) {
                self.row(*promise, Err(reason.to_owned()), false, String::new());
            }
        }
    }
}

/// Measures one scenario and adds its figures.
type Measure = fn(&Bench, &mut Rows<'_>) -> Result<()>;

/// Runs one scenario; what it promised and could not measure is reported with the reason.
pub fn run(bench: &Bench, scenario: Scenario, report: &mut Report) {
    eprintln!("{}", format!("{scenario:?}").to_lowercase());
    let (promises, measure): (&[Promise], Measure) = match scenario {
        Scenario::Accept => (&accept::PROMISES, accept::measure),
        Scenario::Layers => (&layers::PROMISES, layers::measure),
        Scenario::Grpc => (&grpc::PROMISES, grpc::measure),
        Scenario::Deliver => (&deliver::PROMISES, deliver::measure),
        Scenario::Drain => (&drain::PROMISES, drain::measure),
        Scenario::Million => (&million::PROMISES, million::measure),
        Scenario::Start => (&start::PROMISES, start::measure),
    };
    let mut rows = Rows { report, scenario, told: Vec::new() };
    let reason = match measure(bench, &mut rows) {
        Ok(()) => "nothing was measured".to_owned(),
        Err(error) => error.to_string(),
    };
    rows.missing(promises, &reason);
}
