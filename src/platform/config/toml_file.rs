//! A TOML file as flat keys with line numbers. Never shows a line of the file: it may hold a secret.

use super::sources::{Given, Kind, Source};
use std::path::Path;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Every value of the file under its dotted key, and every fault of the file's syntax.
pub(super) fn read(path: &Path) -> (Vec<Given>, Vec<String>) {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) => (Vec::new(), vec![format!("--config {}: can't be read: {error}", path.display())]),
    }
}

fn parse(path: &Path, text: &str) -> (Vec<Given>, Vec<String>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let faults = errors.iter().map(|error| {
        let line = line_of(text, error.span().map_or(0, |span| span.start));
        format!("{} (line {line}): {}", path.display(), error.message().replace('\n', " "))
    });
    let mut file = File { path, text, given: Vec::new() };
    file.flatten("", table.get_ref());
    (file.given, faults.collect())
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    given: Vec<Given>,
}

impl File<'_> {
    fn flatten(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{}", name.get_ref())
            };
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.flatten(&key, inner),
                _ => self.add(key, name.span().start, value),
            }
        }
    }

    fn add(&mut self, key: String, offset: usize, value: &Spanned<DeValue<'_>>) {
        let (kind, text) = scalar(value.get_ref());
        let source = Source::File { path: self.path.to_owned(), line: line_of(self.text, offset) };
        self.given.push(Given { key, text, kind, source });
    }
}

fn scalar(value: &DeValue<'_>) -> (Kind, String) {
    match value {
        DeValue::String(text) => (Kind::Text, text.to_string()),
        DeValue::Boolean(value) => (Kind::Boolean, value.to_string()),
        DeValue::Integer(integer) => match i128::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => (Kind::Integer, number.to_string()),
            Err(_) => (Kind::Other, String::new()),
        },
        DeValue::Array(items) => {
            // A comma in an item would look like two items.
            let texts = items.iter().map(|item| item.get_ref().as_str().filter(|text| !text.contains(',')));
            texts
                .collect::<Option<Vec<_>>>()
                .map_or((Kind::Other, String::new()), |all| (Kind::List, all.join(",")))
        }
        DeValue::Table(_) => (Kind::Table, String::new()),
        DeValue::Float(_) | DeValue::Datetime(_) => (Kind::Other, String::new()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn given(text: &str) -> Vec<(String, String, Kind)> {
        let (given, faults) = parse(Path::new("test.toml"), text);
        assert_eq!(faults, Vec::<String>::new());
        given.into_iter().map(|given| (given.key, given.text, given.kind)).collect()
    }

    #[test]
    fn tables_become_dotted_keys() {
        let all = given("a.b = 'x'\n[c.d]\ne = 0x10\nf = true\ng = ['1', '2']\n[h]\n");
        let expected = [
            ("a.b", "x", Kind::Text),
            ("c.d.e", "16", Kind::Integer),
            ("c.d.f", "true", Kind::Boolean),
            ("c.d.g", "1,2", Kind::List),
            ("h", "", Kind::Table),
        ];
        assert_eq!(all, expected.map(|(key, text, kind)| (key.to_owned(), text.to_owned(), kind)));
    }

    #[test]
    fn a_broken_line_is_named_by_number_and_never_shown() {
        let (_, faults) = parse(Path::new("test.toml"), "a = 1\nb = canary-secret\na = 2\n");
        assert!(faults.iter().any(|fault| fault.starts_with("test.toml (line 2): ")), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.starts_with("test.toml (line 3): ")), "{faults:?}");
        assert!(!faults.concat().contains("canary"), "{faults:?}");
    }

    proptest! {
        #[test]
        fn no_file_panics(text in "\\PC*|[a-z\\[\\]{}=.,'\"# \n0-9]*") {
            parse(Path::new("test.toml"), &text);
        }
    }
}
