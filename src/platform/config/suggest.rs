//! The known key that a misspelled one most likely means.

/// The nearest of `known`, if it is near enough to be meant.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
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
}
