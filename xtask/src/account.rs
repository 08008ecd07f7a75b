//! What each stage came to, and the table at the end.

use std::time::{Duration, Instant};

/// What a stage came to.
pub enum Verdict {
    /// How many tests passed and failed; a stage that is not made of tests counts as one.
    Ran { passed: u64, failed: u64 },
    /// It did not run, and that is not held against it.
    Skipped(String),
    /// It could not run, and should have.
    Impossible(String),
}

impl Verdict {
    fn failed(&self) -> u64 {
        match self {
            Self::Ran { failed, .. } => *failed,
            Self::Skipped(_) => 0,
            Self::Impossible(_) => 1,
        }
    }

    fn passed(&self) -> u64 {
        match self {
            Self::Ran { passed, .. } => *passed,
            Self::Skipped(_) | Self::Impossible(_) => 0,
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Ran { passed, failed: 0 } => format!("ok       {passed} passed"),
            Self::Ran { passed, failed } => format!("FAILED   {passed} passed, {failed} failed"),
            Self::Skipped(why) => format!("skipped  {why}"),
            Self::Impossible(why) => format!("FAILED   {why}"),
        }
    }
}

/// Every stage that was run so far.
#[derive(Default)]
pub struct Account {
    rows: Vec<(&'static str, Duration, Verdict)>,
}

impl Account {
    /// Runs a stage and keeps its time and verdict.
    pub fn time(&mut self, name: &'static str, run: impl FnOnce() -> Verdict) {
        let started = Instant::now();
        let verdict = run();
        let took = started.elapsed();
        println!("-- {:.1} s  {}", took.as_secs_f64(), verdict.describe());
        self.rows.push((name, took, verdict));
    }

    /// How many tests and stages failed.
    pub fn failed(&self) -> u64 {
        self.rows.iter().map(|(_, _, verdict)| verdict.failed()).sum()
    }

    /// The table, and as the last line `N passed, N failed`.
    pub fn print(&self) {
        println!();
        for (name, took, verdict) in &self.rows {
            // The part in brackets explains a stage while it runs; the table needs its name only.
            let short = name.split(" (").next().unwrap_or(name);
            println!("{:>8.1} s  {short:<20}  {}", took.as_secs_f64(), verdict.describe());
        }
        let passed: u64 = self.rows.iter().map(|(_, _, verdict)| verdict.passed()).sum();
        println!("{passed} passed, {} failed", self.failed());
    }
}

#[cfg(test)]
mod tests {
    use super::{Account, Verdict};

    #[test]
    fn only_what_failed_or_was_impossible_is_held_against_a_run() {
        let mut account = Account::default();
        account.time("a", || Verdict::Ran { passed: 3, failed: 0 });
        account.time("b", || Verdict::Skipped("no strace".into()));
        assert_eq!(account.failed(), 0);
        account.time("c", || Verdict::Ran { passed: 1, failed: 2 });
        account.time("d", || Verdict::Impossible("no promtool".into()));
        assert_eq!(account.failed(), 3);
    }
}
