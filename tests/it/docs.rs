//! Holds the pages for people to the code: problem types, links, and the words of crates. Their tables of metrics and
//! settings are the matter of `tests/files`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rows of a table by their first cell.
type Table = BTreeMap<String, Vec<String>>;

/// Where the repository is: Cargo runs a test there.
fn root() -> PathBuf {
    std::env::current_dir().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
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

/// What stands between each `before` and the next `after`.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| Some(rest.split_once(after)?.0)).collect()
}

/// The literals of problem types in the sources.
fn slugs() -> BTreeSet<String> {
    // Behind these, or in a whole type.
    let before = [
        "Problem::new(", "Self::new(StatusCode", "Self::new(\n                StatusCode", "conflict(",
        "unavailable(", "slug: ",
    ];
    let mut slugs: BTreeSet<String> = BTreeSet::new();
    for path in files(&["src", "crates/chassis-http/src"]) {
        let text = fs::read_to_string(&path).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        let literal = |rest: &str| {
            let (head, rest) = rest.split_once('"')?;
            let near = head.len() < 60 && !head.contains([';', ')', '{']);
            near.then(|| rest.split('"').next().unwrap().to_owned())
        };
        let behind = before.iter().flat_map(|call| text.split(call).skip(1)).filter_map(literal);
        let whole = between(text, "\"/problems/", "\"").into_iter().map(str::to_owned);
        let is_slug = |word: &String| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        slugs.extend(behind.chain(whole).filter(is_slug));
    }
    // Nobody is there to read it.
    slugs.remove("caller-gone");
    slugs
}

/// All files below these folders.
fn files(folders: &[&str]) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

#[test]
fn the_api_page_tells_every_problem_type() {
    let told = table(&read("docs/api.md"), "| `type` | status | meaning |");
    let told: BTreeSet<_> = told.keys().map(|name| name.replace("/problems/", "")).collect();
    assert_eq!(slugs(), told, "in the code, in docs/api.md");
}

#[test]
fn every_link_leads_somewhere() {
    let mut pages: Vec<PathBuf> = vec!["README.md".into(), "CONTRIBUTING.md".into()];
    for folder in ["docs", "docs/decisions", "deploy/runbooks"] {
        let files = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let pages_of_it = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
        pages.extend(pages_of_it.map(|path| path.strip_prefix(root()).unwrap().to_owned()));
    }
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().file_name());
    pages.extend(crates.map(|name| Path::new("crates").join(name).join("README.md")));
    for page in pages {
        let text = read(page.to_str().unwrap());
        for link in between(&text, "](", ")").into_iter().filter(|link| !link.starts_with("http")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            // Runbooks are served without the rest of the repository.
            let is_served = !page.starts_with("deploy/runbooks") || !file.contains('/');
            assert!(is_served, "{}: {link} is not served beside it", page.display());
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
fn the_readme_is_short() {
    let readme = read("README.md");
    let (lines, characters) = (readme.lines().count(), readme.chars().count());
    assert!(lines <= 250 && characters <= 16_000, "{lines} lines, {characters} characters");
}

/// What a chassis crate may not know.
const DOMAIN: [&str; 4] = ["epro", "notif", "patient", "sms"];
/// Names of libraries, SQL and systemd, and words of English, in which these stand.
const ELSEWHERE: [&str; 14] = [
    "Notify", "NOTIFY", "notify_one", "notify_waiters", "notify_all", ".notified()", "pg_notify",
    "sd_notify", "inotify", "Propagator", "PgNotification", "eProvider", "eproduc", "sendmsg",
];

#[test]
fn no_file_of_a_crate_names_the_domain() {
    for path in files(&["crates"]) {
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        for (number, line) in (1..).zip(text.lines()) {
            let line = ELSEWHERE.iter().fold(line.to_owned(), |line, word| line.replace(word, ""));
            let found = DOMAIN.iter().find(|word| line.to_lowercase().contains(**word));
            assert_eq!(found, None, "{}:{number}", path.display());
        }
    }
}
