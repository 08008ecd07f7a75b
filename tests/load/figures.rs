//! What the scenarios tell: a table of figures, each beside what was wanted of it.

use std::time::Duration;

/// The figures so far.
#[derive(Default)]
pub struct Figures {
    scenario: String,
    rows: Vec<[String; 4]>,
    missed: usize,
}

impl Figures {
    /// A scenario begins.
    pub fn begin(&mut self, scenario: &str) {
        eprintln!("{scenario}");
        scenario.clone_into(&mut self.scenario);
    }

    /// A figure that is told and not judged.
    pub fn tell(&mut self, what: &str, measured: impl Into<String>) {
        self.row(what, "", measured.into());
    }

    /// A figure that has to hold.
    pub fn judge(&mut self, what: &str, wanted: &str, measured: impl Into<String>, holds: bool) {
        self.missed += usize::from(!holds);
        let measured = measured.into() + if holds { "" } else { "  MISSED" };
        self.row(what, wanted, measured);
    }

    fn row(&mut self, what: &str, wanted: &str, measured: String) {
        eprintln!("  {what}: {measured}");
        self.rows.push([self.scenario.clone(), what.to_owned(), wanted.to_owned(), measured]);
    }

    /// Prints the table, and says whether everything held.
    pub fn print(&self) -> bool {
        println!("| scenario | figure | wanted | measured |\n| --- | --- | --- | --- |");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
        println!(
            "{}",
            if self.missed == 0 { "all held".to_owned() } else { format!("{} missed", self.missed) }
        );
        self.missed == 0
    }
}

/// A quantile of durations by the nearest rank; zero of none.
pub fn quantile(durations: &mut [Duration], of: f64) -> Duration {
    durations.sort_unstable();
    let rank = (durations.len() as f64 * of).ceil() as usize;
    durations.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Milliseconds with one decimal.
pub fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// Megabytes (10⁶ bytes) with one decimal.
pub fn mb(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
