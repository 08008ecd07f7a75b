//! The README's table of alerts, made of the rules.

use crate::rules::{self, alert::Alert};

const BEGIN: &str = "<!-- alerts: made by `cargo run -p observability` -->\n";
const END: &str = "<!-- alerts end -->";

/// The page with a fresh table between its two marks; as it is where it has no such marks.
pub fn put_into(page: &str) -> String {
    let parts = page
        .split_once(BEGIN)
        .and_then(|(before, rest)| rest.split_once(END).map(|(_, after)| (before, after)));
    parts.map_or_else(
        || page.to_owned(),
        |(before, after)| format!("{before}{BEGIN}\n{}\n{END}{after}", table()),
    )
}

/// All alerts with their severity and when they fire.
pub fn table() -> String {
    let head = "| alert | severity | when |\n| --- | --- | --- |\n".to_owned();
    rules::alerts().iter().fold(head, |table, alert| table + &row(alert))
}

fn row(alert: &Alert) -> String {
    let (name, severity, when) = (&alert.name, alert.severity.name(), &alert.when);
    format!("| [{name}](deploy/runbooks/{}.md#{}) | {severity} | {when} |\n", alert.runbook, alert.anchor())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("# Before\n\n{BEGIN}\n| stale |\n{END}\n\nAfter\n");
        assert_eq!(put_into(&page), page.replace("| stale |", &table()));
        assert_eq!(put_into("# No marks\n"), "# No marks\n");
    }

    #[test]
    fn the_readme_has_the_table() {
        let readme = std::fs::read_to_string(crate::files::root().join("README.md")).unwrap();
        assert!(readme.contains(&table()), "`cargo run -p observability` writes it");
    }
}
