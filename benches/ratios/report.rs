//! What a run found: one table for people, one file for programs.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::Result;
use crate::machine::description;
use crate::options::Scenario;

/// What a figure has to reach: first, and to be superb.
#[derive(Clone, Copy)]
pub enum Goal {
    AtLeast(f64, f64),
    AtMost(f64, f64),
    /// Told for comparison only.
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Superb,
    Ok,
    Missed,
    /// There is no goal.
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
            (Ok(value), Goal::AtLeast(_, superb)) if *value >= superb => Verdict::Superb,
            (Ok(value), Goal::AtLeast(first, _)) if *value >= first => Verdict::Ok,
            (Ok(value), Goal::AtMost(_, superb)) if *value <= superb => Verdict::Superb,
            (Ok(value), Goal::AtMost(first, _)) if *value <= first => Verdict::Ok,
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

    /// Whether every goal was measured and reached.
    pub fn holds(&self) -> bool {
        use Verdict::{Ok, Superb, Told};
        self.rows.iter().all(|row| {
            matches!(row.verdict(), Superb | Ok | Told)
                || matches!((row.goal, &row.measured), (Goal::None, Err(_)))
        })
    }

    /// The table, under a line that says on what machine it was measured.
    pub fn table(&self) -> String {
        let mut text = format!("\nRatios on {}\n\n", description());
        let width = self.rows.iter().map(|row| row.figure.chars().count()).max().unwrap_or(0);
        let head = ("figure", "measured", "goal", "superb", "verdict", "numbers behind it");
        let line = |(figure, measured, first, superb, verdict, raw): (&str, &str, &str, &str, &str, &str)| {
            format!("{figure:<width$}  {measured:>15}  {first:>9}  {superb:>9}  {verdict:<12}  {raw}\n")
        };
        text += &line(head);
        for row in &self.rows {
            let (first, superb) = match row.goal {
                Goal::AtLeast(first, superb) => (format!("≥ {first}"), format!("≥ {superb}")),
                Goal::AtMost(first, superb) => (format!("≤ {first}"), format!("≤ {superb}")),
                Goal::None => (String::new(), String::new()),
            };
            let (measured, raw) = match &row.measured {
                Ok(value) => (format!("{value:.2} {}", row.unit), row.raw.clone()),
                Err(reason) => ("–".to_owned(), reason.clone()),
            };
            text += &line((row.figure, measured.trim(), &first, &superb, word(row.verdict()), &raw));
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
        let (kind, first, superb) = match self.goal {
            Goal::AtLeast(first, superb) => ("at least", Some(first), Some(superb)),
            Goal::AtMost(first, superb) => ("at most", Some(first), Some(superb)),
            Goal::None => ("none", None, None),
        };
        json!({
            "scenario": format!("{:?}", self.scenario).to_lowercase(),
            "figure": self.figure,
            "unit": self.unit,
            "measured": self.measured.as_ref().ok(),
            "reason": self.measured.as_ref().err(),
            "goal": {"kind": kind, "first": first, "superb": superb},
            "verdict": word(self.verdict()),
            "raw": self.raw,
        })
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Superb => "ok, superb",
        Verdict::Ok => "ok",
        Verdict::Missed => "MISSED",
        Verdict::Told => "",
        Verdict::NotJudged => "not judged",
        Verdict::NotMeasured => "not measured",
    }
}
