//! The reference of metrics: the README's table, made of the catalogue.

use crate::catalogue::{self, Metric, Values};

const BEGIN: &str = "<!-- metrics: made by `cargo run -p observability` -->\n";
const END: &str = "<!-- metrics end -->";

/// The page with a fresh table between its two marks; nothing where it has no such marks.
pub fn put_into(page: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{}\n{END}{after}", table()))
}

/// All metrics with type, labels and meaning.
pub fn table() -> String {
    let head = "| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    catalogue::all().fold(head, |table, metric| table + &row(metric))
}

fn row(metric: &Metric) -> String {
    let labels: Vec<String> = metric.labels.iter().map(|(label, values)| cell(label, *values)).collect();
    let told = metric.told();
    let open = metric.labels.iter().filter_map(|(label, values)| match values {
        Values::Open(told) if !told.is_empty() => Some(format!("; `{label}`: {told}")),
        _ => None,
    });
    let see = metric.see.map(|heading| format!("; see [{heading}](#{})", anchor(heading)));
    let meaning: String =
        std::iter::once(told.trim_end_matches('.').to_owned()).chain(open).chain(see).collect();
    format!("| `{}` | {} | {} | {meaning} |\n", metric.name, metric.kind.as_str(), labels.join(", "))
}

/// A label with its values, as `` `channel`=`sms`\|`push` ``.
fn cell(label: &str, values: Values) -> String {
    match values {
        Values::Open(_) => format!("`{label}`"),
        Values::Closed(values) => {
            let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{label}`={}", values.join(r"\|"))
        }
    }
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{files, names};

    #[test]
    fn the_readme_has_the_table_that_the_catalogue_makes() {
        let readme = std::fs::read_to_string(files::root().join("README.md")).unwrap();
        assert_eq!(put_into(&readme).as_ref(), Some(&readme), "`cargo run -p observability` writes it");
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let page = format!("# Before\n\n{BEGIN}\n| stale |\n{END}\n\nAfter\n");
        assert_eq!(put_into(&page), Some(page.replace("| stale |", &table())));
        assert_eq!(put_into("# No marks\n"), None);
        assert_eq!(put_into(BEGIN), None);
    }

    #[test]
    fn a_row_tells_labels_values_and_where_more_is_said() {
        let row = |name: &str| row(catalogue::all().find(|metric| metric.name == name).unwrap());
        assert_eq!(
            row(names::NOTIFICATION_ACCEPTED),
            "| `notification_accepted_total` | counter | `channel`=`sms`\\|`push`, \
             `priority`=`urgent`\\|`normal`\\|`bulk` | Jobs whose acceptance is committed |\n",
        );
        let ledger = row(names::NOTIFICATION_LEDGER_JOBS);
        assert!(ledger.ends_with("take max, never sum; see [Guarantees](#guarantees) |\n"), "{ledger}");
        assert!(row(names::AUTH_REQUESTS).contains("; `key`: a configured name, or none"));
    }
}
