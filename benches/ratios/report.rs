//! What a run found: one table for people, one file for programs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::machine::description;
use crate::options::Scenario;

/// What a figure has to reach at least, and what it should reach: a minimum and a target.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64, f64),
    AtMost(f64, f64),
    /// Told for comparison only.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    OnTarget,
    Ok,
    Missed,
    /// There is neither minimum nor target.
    Told,
    /// Measured beside foreign load, or in too small a way.
    NotJudged,
    NotMeasured,
}

/// One line of the report.
pub struct Row {
    pub scenario: Scenario,
    pub figure: &'static str,
    pub unit: &'static str,
    pub goal: Goal,
    /// The figure, or why there is none.
    pub measured: std::result::Result<f64, String>,
    /// Whether a part was measured beside foreign load, or in too small a way to judge.
    pub doubtful: bool,
    /// The numbers behind the figure.
    pub raw: String,
}

impl Row {
    pub fn verdict(&self) -> Verdict {
        match (&self.measured, self.goal) {
            (Err(_), _) => Verdict::NotMeasured,
            (Ok(_), Goal::None) => Verdict::Told,
            (Ok(_), _) if self.doubtful => Verdict::NotJudged,
            (Ok(value), Goal::AtLeast(_, target)) if *value >= target => Verdict::OnTarget,
            (Ok(value), Goal::AtLeast(minimum, _)) if *value >= minimum => Verdict::Ok,
            (Ok(value), Goal::AtMost(_, target)) if *value <= target => Verdict::OnTarget,
            (Ok(value), Goal::AtMost(minimum, _)) if *value <= minimum => Verdict::Ok,
            (Ok(_), _) => Verdict::Missed,
        }
    }
}

#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Whether every minimum was measured and reached.
    pub fn holds(&self) -> bool {
        use Verdict::{Ok, OnTarget, Told};
        self.rows.iter().all(|row| {
            matches!(row.verdict(), OnTarget | Ok | Told)
                || matches!((row.goal, &row.measured), (Goal::None, Err(_)))
        })
    }

    /// The table, under a line that says on what machine it was measured.
    pub fn table(&self) -> String {
        let mut text = format!("\nRatios on {}\n\n", description());
        let width = self.rows.iter().map(|row| row.figure.chars().count()).max().unwrap_or(0);
        let head = ("figure", "measured", "minimum", "target", "verdict", "numbers behind it");
        let line =
            |(figure, measured, minimum, target, verdict, raw): (&str, &str, &str, &str, &str, &str)| {
                format!("{figure:<width$}  {measured:>15}  {minimum:>9}  {target:>9}  {verdict:<14}  {raw}\n")
            };
        text += &line(head);
        for row in &self.rows {
            let (minimum, target) = match row.goal {
                Goal::AtLeast(minimum, target) => (format!("≥ {minimum}"), format!("≥ {target}")),
                Goal::AtMost(minimum, target) => (format!("≤ {minimum}"), format!("≤ {target}")),
                Goal::None => (String::new(), String::new()),
            };
            let (measured, raw) = match &row.measured {
                Ok(value) => (format!("{value:.2} {}", row.unit), row.raw.clone()),
                Err(reason) => ("–".to_owned(), reason.clone()),
            };
            text += &line((row.figure, measured.trim(), &minimum, &target, word(row.verdict()), &raw));
        }
        text
    }

    /// Writes the same as JSON.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&self, path: &Path) -> Result<()> {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let text = serde_json::to_string_pretty(&json!({"machine": description(), "rows": rows}))?;
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(fs::write(path, text)?)
    }
}

impl Row {
    fn json(&self) -> Value {
        let (kind, minimum, target) = match self.goal {
            Goal::AtLeast(minimum, target) => ("at least", Some(minimum), Some(target)),
            Goal::AtMost(minimum, target) => ("at most", Some(minimum), Some(target)),
            Goal::None => ("none", None, None),
        };
        json!({
            "scenario": format!("{:?}", self.scenario).to_lowercase(),
            "figure": self.figure,
            "unit": self.unit,
            "measured": self.measured.as_ref().ok(),
            "reason": self.measured.as_ref().err(),
            "goal": {"kind": kind, "minimum": minimum, "target": target},
            "verdict": word(self.verdict()),
            "raw": self.raw,
        })
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::OnTarget => "ok, on target",
        Verdict::Ok => "ok",
        Verdict::Missed => "MISSED",
        Verdict::Told => "",
        Verdict::NotJudged => "not judged",
        Verdict::NotMeasured => "not measured",
    }
}
