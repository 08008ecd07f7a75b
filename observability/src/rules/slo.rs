//! An objective, and the series that are recorded for it in sloth's naming. Which objectives there are is
//! the domain's.

use crate::{
    rules::{
        burn,
        rule::{Group, Record, Rule},
    },
    site,
};

/// The windows of the burn rates, short ones first.
pub const WINDOWS: &[&str] = &["5m", "30m", "1h", "2h", "6h", "1d", "3d"];

/// Days that the budget is for.
const PERIOD_DAYS: u32 = 30;

/// Where a query takes its window.
const WINDOW: &str = "$window";

/// A service level objective.
pub struct Slo {
    /// As `accept-availability`.
    pub name: &'static str,
    /// What is promised, for people.
    pub promise: &'static str,
    /// Share of good events, in percent as people write it, such as `99.9`.
    pub percent: &'static str,
    /// The same as a ratio.
    pub objective: f64,
    /// Failures a second over `$window`: one value without labels, also where there was never any.
    pub failures: String,
    /// Events a second over `$window`, likewise.
    pub events: String,
    /// Failures in an alert's long window below which nobody is called.
    pub least_failures: u32,
    /// Why so many.
    pub why_so_many: &'static str,
    /// As `AcceptAvailability`, which the names of its alerts begin with.
    pub alert: &'static str,
    /// What its failures mean to people, in one sentence.
    pub harm: &'static str,
    /// The panel that shows how fast its budget burns.
    pub panel: (&'static str, &'static str),
    /// Series that its queries read, for the proof of its alerts: whether a good and a failed event count in each.
    pub sample: Vec<(String, bool, bool)>,
}

/// The sum of a counter's rate over the window, and 0 where no such series exists yet.
pub fn per_second(series: &str) -> String {
    format!("(sum(rate({series}[{WINDOW}])) or vector(0))")
}

/// 0 without events: neither absent nor NaN. `known` has the same labels and is always there.
fn ratio(failures: &str, events: &str, known: &str) -> String {
    format!("{failures}\n/ ({events} > 0)\nor {known} * 0")
}

impl Slo {
    pub fn id(&self) -> String {
        format!("{}-{}", site::JOB, self.name)
    }

    /// Share of events that may fail.
    pub fn budget(&self) -> f64 {
        // 1 − 0.999 is not 0.001 in binary.
        ((1.0 - self.objective) * 1e9).round() / 1e9
    }

    /// The selector of one of its recorded series.
    pub fn series(&self, name: &str) -> String {
        format!("{name}{{sloth_id=\"{}\"}}", self.id())
    }

    /// What is recorded for it, as sloth groups it.
    pub fn groups(&self) -> Vec<Group> {
        vec![
            self.group("sli-recordings", self.indicators().into_iter().map(Rule::Record)),
            self.group("meta-recordings", self.metadata().into_iter().map(Rule::Record)),
            self.group("alerts", burn::alerts(self).into_iter().map(Rule::from)),
        ]
    }

    fn group(&self, part: &str, rules: impl Iterator<Item = Rule>) -> Group {
        Group { name: format!("sloth-slo-{part}-{}", self.id()), rules: rules.collect() }
    }

    /// What sloth puts on everything of an objective.
    pub fn labels(&self, window: Option<&str>) -> Vec<(&'static str, String)> {
        let mut labels = vec![
            ("sloth_id", self.id()),
            ("sloth_service", site::JOB.to_owned()),
            ("sloth_slo", self.name.to_owned()),
        ];
        labels.extend(window.map(|window| ("sloth_window", window.to_owned())));
        labels
    }

    fn record(&self, name: String, expr: String, window: Option<&str>) -> Record {
        Record { name, expr, labels: self.labels(window) }
    }

    fn indicators(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for window in WINDOWS {
            let [failures, events] =
                ["failures", "events"].map(|what| format!("slo:sli_{what}:rate{window}"));
            let (failed, all) = (self.series(&failures), self.series(&events));
            let ratio = ratio(&failed, &all, &all);
            records.extend([
                self.record(failures, self.failures.replace(WINDOW, window), Some(window)),
                self.record(events, self.events.replace(WINDOW, window), Some(window)),
                self.record(format!("slo:sli_error:ratio_rate{window}"), ratio, Some(window)),
            ]);
        }
        records.push(self.period());
        records
    }

    /// Over the whole period each event counts the same: a mean of ratios would let a quiet night outweigh
    /// a busy hour. From what is recorded, since reading a month of raw samples twice a minute is too dear.
    fn period(&self) -> Record {
        let window = format!("{PERIOD_DAYS}d");
        let [failures, events] = ["slo:sli_failures:rate5m", "slo:sli_events:rate5m"]
            .map(|name| format!("sum_over_time({}[{window}])", self.series(name)));
        let latest = self.series("slo:sli_events:rate5m");
        let ratio = ratio(&failures, &events, &latest);
        self.record(format!("slo:sli_error:ratio_rate{window}"), ratio, Some(&window))
    }

    fn metadata(&self) -> Vec<Record> {
        let budget = self.series("slo:error_budget:ratio");
        let burn = |ratio: &str| {
            format!(
                "{}\n/ on (sloth_id, sloth_slo, sloth_service) group_left ()\n{budget}",
                self.series(ratio)
            )
        };
        let burnt = format!("1 - {}", self.series("slo:period_burn_rate:ratio"));
        let mut records: Vec<Record> = [
            ("slo:objective:ratio", format!("vector({})", self.objective)),
            ("slo:error_budget:ratio", format!("vector({})", self.budget())),
            ("slo:time_period:days", format!("vector({PERIOD_DAYS})")),
            ("slo:current_burn_rate:ratio", burn("slo:sli_error:ratio_rate5m")),
            ("slo:period_burn_rate:ratio", burn(&format!("slo:sli_error:ratio_rate{PERIOD_DAYS}d"))),
            ("slo:period_error_budget_remaining:ratio", burnt),
        ]
        .map(|(name, expr)| self.record(name.to_owned(), expr, None))
        .into();
        let mut info = self.record("sloth_slo_info".to_owned(), "vector(1)".to_owned(), None);
        info.labels.push(("sloth_objective", self.percent.to_owned()));
        records.push(info);
        records
    }
}
