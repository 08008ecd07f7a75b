//! The domain's metric series, with their handles made once. Counters are there with 0 from the start.

use super::{receipt::Skipped, submit::Source};
use crate::platform::telemetry::names;
use metrics::{Counter, counter};

/// What became of the receipt of a report that was kept: queued with it, or why not.
pub type ReceiptOutcome = Result<(), Skipped>;

/// Counts what has happened to reports.
pub struct Metrics {
    submissions: Vec<(Source, Counter, Counter)>,
    queued: Counter,
    skipped: Vec<(Skipped, Counter)>,
}

impl Metrics {
    /// Call once metrics are recorded, or the handles lead nowhere.
    pub fn new() -> Self {
        let submissions = |source: Source| {
            let of = |outcome: &'static str| {
                counter!(
                    names::REPORT_SUBMISSION,
                    names::LABEL_OUTCOME => outcome,
                    names::LABEL_SOURCE => source.as_str(),
                )
            };
            (source, of("success"), of("failure"))
        };
        let receipts =
            |outcome: &'static str| counter!(names::REPORT_RECEIPTS, names::LABEL_OUTCOME => outcome);
        Self {
            submissions: Source::ALL.map(submissions).into(),
            queued: receipts("queued"),
            skipped: Skipped::ALL.map(|why| (why, receipts(why.as_str()))).into(),
        }
    }

    /// A report was committed.
    pub fn kept(&self, source: Source) {
        self.of(source, |success, _| success);
    }

    /// A report was rejected, by the handler or the store.
    pub fn rejected(&self, source: Source) {
        self.of(source, |_, failure| failure);
    }

    pub fn receipt(&self, outcome: ReceiptOutcome) {
        match outcome {
            Ok(()) => self.queued.increment(1),
            Err(why) => {
                self.skipped.iter().filter(|(known, _)| *known == why).for_each(|(_, counter)| {
                    counter.increment(1);
                });
            }
        }
    }

    fn of<'a>(&'a self, source: Source, which: fn(&'a Counter, &'a Counter) -> &'a Counter) {
        let known = self.submissions.iter().find(|(known, ..)| *known == source);
        if let Some((_, success, failure)) = known {
            which(success, failure).increment(1);
        }
    }
}
