//! What the service's own metrics say of its telemetry: nothing may be lost unseen.

/// The sum of the series of `name` that carry all these labels, in Prometheus text; `None` if there are none.
pub fn value(text: &str, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let (carried, number) = match rest.strip_prefix('{') {
            Some(rest) => match rest.rsplit_once('}') {
                Some((carried, number)) => (carried, number),
                None => continue,
            },
            None if rest.starts_with(' ') => ("", rest),
            None => continue,
        };
        let carries = |(key, value): &(&str, &str)| {
            carried.split(',').any(|label| label == format!("{key}=\"{value}\""))
        };
        if !labels.iter().all(carries) {
            continue;
        }
        if let Some(number) = number.split_ascii_whitespace().next().and_then(|it| it.parse::<f64>().ok()) {
            sum = Some(sum.unwrap_or(0.0) + number);
        }
    }
    sum
}

/// The account of one process, in spans and lines.
#[derive(Debug, PartialEq)]
pub struct Account {
    pub ended: f64,
    pub exported: f64,
    pub failed: f64,
    pub dropped: f64,
    pub queued: f64,
    pub lines_written: f64,
    pub lines_dropped: f64,
}

impl Account {
    /// `None` where a metric is missing.
    pub fn read(text: &str) -> Option<Self> {
        let spans = |outcome| value(text, "telemetry_spans_total", &[("outcome", outcome)]);
        let lines = |outcome| value(text, "telemetry_log_lines_total", &[("outcome", outcome)]);
        Some(Self {
            ended: value(text, "telemetry_spans_ended_total", &[])?,
            exported: spans("exported")?,
            failed: spans("failed")?,
            dropped: spans("dropped")?,
            queued: value(text, "telemetry_spans_queued", &[])?,
            lines_written: lines("written")?,
            lines_dropped: lines("dropped")?,
        })
    }

    /// Spans that ended and are in no other figure; 0 when the account is exact.
    pub fn spans_missing(&self) -> f64 {
        self.ended - self.exported - self.failed - self.dropped - self.queued
    }
}
