//! Holds the README and the pages of `docs` to the code: metrics, configuration, problem types and links.

use crate::{
    source::rust_files,
    support::{
        process::{Process, ask},
        service::Site,
    },
};
use epro_notify::{
    config::Config,
    ctms,
    platform::{config::Sources, telemetry::catalogue},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rows of a table by their first cell.
type Table = BTreeMap<String, Vec<String>>;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The table under this head.
fn table(document: &str, head: &str) -> Table {
    let rows = document.lines().skip_while(|line| *line != head).skip(2);
    rows.take_while(|line| line.starts_with('|')).map(row).collect()
}

fn row(line: &str) -> (String, Vec<String>) {
    let escaped = line.replace("\\|", "\0");
    let cells = escaped.trim().trim_matches('|').split('|');
    let mut cells = cells.map(|cell| cell.trim().replace('\0', "|"));
    (cells.next().unwrap().trim_matches('`').to_owned(), cells.collect())
}

/// The part of a source that is not its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

/// What stands between each `before` and the next `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

/// What stands in the parentheses of each such call.
fn arguments<'a>(text: &'a str, call: &str) -> Vec<&'a str> {
    let inside = |rest: &'a str| {
        let mut depth = 1;
        let end = rest.find(|c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        rest.split_at(end.unwrap_or(rest.len())).0
    };
    text.split(call).skip(1).map(inside).collect()
}

/// The constants of `names.rs`.
fn names() -> BTreeMap<String, String> {
    let text = read("src/platform/telemetry/names.rs");
    let constants = between(&text, "pub const ", "\";");
    let pair =
        |text: &&str| text.split_once(": &str = \"").map(|(name, value)| (name.to_owned(), value.to_owned()));
    constants.iter().filter_map(pair).collect()
}

/// The constants of `names.rs` that a piece of code names, in order.
fn named(text: &str) -> Vec<&str> {
    let is_outside = |c: char| !(c.is_ascii_uppercase() || c == '_');
    text.split("names::").skip(1).filter_map(|rest| rest.split(is_outside).next()).collect()
}

/// A metric's type, and its labels where it is set.
type Metric = (&'static str, BTreeSet<String>);

/// What the sources say: types from the catalogue, labels from where a metric is set.
fn metrics_of_the_code() -> BTreeMap<String, Metric> {
    let names = names();
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (_, text) in rust_files(&["src"]) {
        for call in
            ["counter!(", "gauge!(", "histogram!("].iter().flat_map(|call| arguments(code(&text), call))
        {
            if let [metric, rest @ ..] = &*named(call) {
                let rest = rest.iter().filter(|name| name.starts_with("LABEL_"));
                let found = labels.entry(names[*metric].clone()).or_default();
                found.extend(rest.map(|label| names[*label].clone()));
            }
        }
    }
    let metrics = catalogue::all().map(|metric| (metric.name.to_owned(), metric.kind.as_str()));
    let known = metrics.map(|(name, kind)| {
        let set = labels.remove(&name).unwrap_or_else(|| panic!("nothing sets {name}"));
        (name, (kind, set))
    });
    let known = known.collect();
    assert!(labels.is_empty(), "not in the catalogue: {labels:?}");
    known
}

/// The labels of a cell such as `` `channel`, `outcome`=`a`|`b` `` with the values that it lists.
fn labels(cell: &str) -> BTreeMap<String, BTreeSet<String>> {
    let label = |text: &str| {
        let (name, values) = text.split_once('=').unwrap_or((text, ""));
        let values = values.split('|').filter(|value| !value.is_empty());
        let bare = |text: &str| text.trim().trim_matches('`').to_owned();
        (bare(name), values.map(bare).collect())
    };
    cell.split(", ").filter(|text| !text.is_empty()).map(label).collect()
}

fn metrics_of_the_readme() -> Table {
    table(&read("README.md"), "| metric | type | labels | meaning |")
}

#[test]
fn the_readme_tells_every_metric_with_its_type_and_labels() {
    let (known, told) = (metrics_of_the_code(), metrics_of_the_readme());
    assert!(known.keys().eq(told.keys()), "code: {:?}\nREADME: {:?}", known.keys(), told.keys());
    for (name, (kind, set)) in known {
        let [told_kind, cell, _] = &*told[&name] else { panic!("{name}: three further cells") };
        assert_eq!(kind, told_kind, "{name}");
        let cell: BTreeSet<String> = labels(cell).into_keys().collect();
        assert_eq!(set, cell, "{name}: code, README");
    }
}

#[test]
fn what_running_services_show_is_what_the_readme_tells() {
    let process = Process::start(&[]);
    let second = Site::ctms("static://127.0.0.1:1").start();
    let page = ask(process.admin, "/metrics").unwrap().body + &second.metrics().0;
    let told = metrics_of_the_readme();
    let mut seen: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let series = line.rsplit_once(' ').unwrap().0;
        let (name, pairs) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let known = [Some(name), family].into_iter().flatten().find(|name| told.contains_key(*name));
        assert!(known.is_some() || name.starts_with("process_") || name.starts_with("tokio_"), "{line}");
        for (label, value) in pairs.split(',').filter_map(|pair| pair.split_once('=')) {
            if let (Some(known), true) = (known, label != "le") {
                let values = seen.entry((known.to_owned(), label.to_owned())).or_default();
                values.insert(value.trim_matches('"').to_owned());
            }
        }
    }
    for ((name, label), values) in seen {
        let labels = labels(&told[&name][1]);
        let listed = labels.get(&label).unwrap_or_else(|| panic!("{name}: {label} is not told"));
        // Histograms appear on first use, everything else with every value from the start.
        let complete = told[&name][0] == "histogram" || values == *listed;
        assert!(listed.is_empty() || (values.is_subset(listed) && complete), "{name}: {label} {values:?}");
    }
    assert!(page.contains("\nprocess_") && page.contains("\ntokio_"), "{page}");
}

/// A key's default and range.
type Key = (String, String);

/// The keys of a printed configuration.
fn keys_of(document: &str) -> BTreeMap<String, Key> {
    let lines: Vec<&str> = document.lines().collect();
    let key = |pair: &[&str]| {
        let (key, rest) = pair[1].strip_prefix("# ")?.split_once("; default ")?;
        let (default, range) = rest.split_once(", ").unwrap_or((rest, ""));
        Some((key.to_owned(), (default.trim_matches('"').to_owned(), range.to_owned())))
    };
    lines.windows(2).filter_map(key).collect()
}

/// The keys of the table under this head.
fn keys_told(head: &str) -> BTreeMap<String, Key> {
    let told = table(&read("README.md"), head);
    let key = |(key, cells): (String, Vec<String>)| {
        (key, (cells[0].trim_matches('`').to_owned(), cells[1].clone()))
    };
    told.into_iter().map(key).collect()
}

#[test]
fn the_readme_tells_every_key_with_its_default_and_range() {
    let known = keys_of(&Config::load(Sources::default()).unwrap().1);
    let told = keys_told("| variable | default | range | meaning |");
    assert!(known.len() > 30);
    assert_eq!(known, told);
}

#[test]
fn the_readme_tells_every_key_of_the_second_service() {
    let known = keys_of(&ctms::Config::load(Sources::default()).unwrap().1);
    let shared = keys_told("| variable | default | range | meaning |");
    let own = keys_told("| variable of `ctms` | default | range | meaning |");
    assert!(own.len() > 3 && own.keys().all(|key| known.contains_key(key)), "{own:?}");
    for (key, known) in known {
        assert_eq!(own.get(&key).or(shared.get(&key)), Some(&known), "{key}");
    }
}

#[test]
fn the_readme_tells_every_variable_that_is_honoured() {
    let (_, document) = Config::load(Sources::default()).unwrap();
    let lines: Vec<&str> = document.lines().collect();
    let variable = |pair: &[&str]| {
        let now = pair[1].strip_prefix("#   now ")?.trim_matches('"');
        Some((pair[0].strip_prefix("# ")?.split_once(": ")?.0.to_owned(), now.to_owned()))
    };
    let known: BTreeMap<_, _> = lines.windows(2).filter_map(variable).collect();
    let readme = read("README.md");
    let told = table(&readme, "| variable | default | meaning |");
    let told: BTreeMap<_, _> =
        told.into_iter().map(|(name, cells)| (name, cells[0].trim_matches('`').to_owned())).collect();
    assert!(known.contains_key("OTEL_SDK_DISABLED"));
    assert_eq!(known, told);
    let refused = between(&readme, "**Not honoured**", "\n\n").concat();
    for name in between(&refused, "`OTEL_", "`") {
        let (name, whole) = name.strip_suffix('*').map_or((name, true), |prefix| (prefix, false));
        let name = format!("OTEL_{name}");
        let honoured =
            known.keys().find(|known| if whole { **known == name } else { known.starts_with(&name) });
        assert_eq!(honoured, None, "{name} is honoured");
    }
}

#[test]
fn the_api_page_tells_every_problem_type() {
    let is_slug = |text: &&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    // The domain's two synchronous ends, by their status.
    let mut known: BTreeSet<String> = ["notification-dead", "notification-unknown"].map(String::from).into();
    for (_, text) in rust_files(&["src"]) {
        for call in ["Problem::new(", "Self::new(StatusCode", "::conflict(", "::unavailable("] {
            let literals = arguments(code(&text), call);
            let first = literals.iter().filter_map(|call| call.split('"').nth(1)).filter(is_slug);
            known.extend(first.map(str::to_owned));
        }
    }
    // Nobody is there to read it.
    known.remove("caller-gone");
    let told = table(&read("docs/api.md"), "| `type` | status | meaning |");
    let told: BTreeSet<_> = told.keys().map(|name| name.replace("/problems/", "")).collect();
    assert_eq!(known, told);
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages: Vec<PathBuf> = vec!["README.md".into(), "CONTRIBUTING.md".into()];
    for folder in ["docs", "docs/decisions"] {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let pages_of_it = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        pages.extend(pages_of_it.map(|path| path.strip_prefix(root()).unwrap().to_owned()));
    }
    for page in pages {
        let text = read(page.to_str().unwrap());
        for link in between(&text, "](", ")").into_iter().filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            assert!(root().join(&target).exists(), "{}: {link}", page.display());
            let found = anchor.is_empty() || anchors(&read(target.to_str().unwrap())).contains(anchor);
            assert!(found, "{}: {link} has no such heading", page.display());
        }
    }
}

/// The headings as GitHub names them in links.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let kept = |c: &char| c.is_alphanumeric() || *c == '-' || *c == '_';
    headings
        .map(|line| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-"))
        .map(|line| line.chars().filter(kept).collect())
        .collect()
}

#[test]
fn each_reader_of_a_page_sees_what_is_there() {
    let page =
        "## A head, with `code`\n\n| a | b |\n| --- | --- |\n| `x` | `k`=`1`\\|`2` |\n| y | |\n\n| z | |\n";
    let table = table(page, "| a | b |");
    assert_eq!(table["x"], ["`k`=`1`|`2`"]);
    assert!(table["y"] == [""] && !table.contains_key("z"));
    assert_eq!(labels("`k`=`1`|`2`, `l`")["k"], ["1", "2"].map(str::to_owned).into());
    assert!(labels("`k`=`1`|`2`, `l`")["l"].is_empty() && labels("").is_empty());
    assert_eq!(arguments("f(a(b), c); f(d)", "f("), ["a(b), c", "d"]);
    assert_eq!(named("names::A, names::LABEL_B => x"), ["A", "LABEL_B"]);
    assert!(anchors(page).contains("a-head-with-code"));
}
