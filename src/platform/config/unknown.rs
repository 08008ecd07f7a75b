//! What is said of a key that nobody reads: most likely it is a known one, misspelled.

use super::sources::{Given, Kind, Source, variable_of};

/// The fault of a given key that is none of `keys`.
pub(super) fn fault(given: &Given, keys: &[&str]) -> Option<String> {
    let known = || keys.iter().copied();
    if known().any(|key| key == given.key) {
        return None;
    }
    let spelled = |key: &str| match given.source {
        Source::Environment { .. } => variable_of(key),
        Source::File { .. } | Source::CommandLine => key.to_owned(),
    };
    let fault = if let Some(inner) = known().find(|key| is_below(key, &given.key)) {
        if given.kind == Kind::Table {
            return None;
        }
        format!("is a table, not a value; set one of its keys, as {}", spelled(inner))
    } else if let Some(value) = known().find(|key| is_below(&given.key, key)) {
        format!("there is nothing below {0}, which is a value; set {0} itself", spelled(value))
    } else if let Some(near) = nearest(&given.key, known()) {
        format!("unknown key; did you mean {}?", spelled(near))
    } else {
        "unknown key; remove it (--print-config lists them all)".to_owned()
    };
    Some(format!("{}: {fault}", given.origin()))
}

fn is_below(lower: &str, upper: &str) -> bool {
    lower.strip_prefix(upper).is_some_and(|rest| rest.starts_with('.'))
}

/// The nearest of `known`, if it is near enough to be meant.
fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (key, distance) =
        known.map(|key| (key, distance(unknown, key))).min_by_key(|(_, distance)| *distance)?;
    (distance <= 1 + key.len() / 4).then_some(key)
}

/// Levenshtein's edit distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, above) in b.bytes().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_is_levenshteins() {
        for (a, b, expected) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }

    #[test]
    fn a_misspelled_key_is_recognised_and_a_foreign_one_is_not() {
        let known = ["http.listen", "grpc.listen", "queue.workers"];
        assert_eq!(nearest("http_listen", known.into_iter()), Some("http.listen"));
        assert_eq!(nearest("queue.worker", known.into_iter()), Some("queue.workers"));
        assert_eq!(nearest("database", known.into_iter()), None);
    }

    fn given(key: &str, kind: Kind) -> Given {
        Given { key: key.to_owned(), text: String::new(), kind, source: Source::CommandLine }
    }

    #[test]
    fn a_value_in_the_place_of_a_table_is_told_from_a_table_in_the_place_of_a_value() {
        let fault = |key, kind| fault(&given(key, kind), &["http.listen"]);
        assert_eq!(fault("http.listen", Kind::Text), None);
        assert_eq!(fault("http", Kind::Table), None, "an empty table of a known name");
        assert!(fault("http", Kind::Text).is_some_and(|fault| fault.contains("is a table")));
        assert!(
            fault("http.listen.port", Kind::Text)
                .is_some_and(|fault| fault.contains("nothing below http.listen"))
        );
        assert!(fault("other", Kind::Table).is_some_and(|fault| fault.contains("unknown key")));
    }
}
