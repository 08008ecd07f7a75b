//! The rules before Prometheus' own `promtool`, and the routing before Alertmanager's `amtool`: apart from
//! `cargo test`, which needs neither.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod mutants;
mod routes;
mod rules;

use std::{fs, path::PathBuf, process::Command};

/// What a program said, and whether it was content.
struct Said {
    content: bool,
    text: String,
}

fn run(program: &str, arguments: &[&str]) -> Said {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(observability::files::root())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask test --install` fetches it"));
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    Said { content: output.status.success(), text }
}

/// A folder of the test's own, empty.
fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// What `promtool` makes of this alert's cases on these rules: the alert's own alone, since it evaluates all
/// that there are in each minute of each case.
fn proven(
    place: &str,
    rules: &[observability::rules::rule::Group],
    alert: &observability::rules::alert::Alert,
) -> Said {
    use observability::rules::{cases, rule};
    let folder = folder(place);
    fs::write(folder.join("rules.yml"), rule::text("", rules)).unwrap();
    let cases = cases::text("", &["rules.yml"], alert.proof.evaluated, &[alert]);
    let file = folder.join("cases.yml");
    fs::write(&file, cases).unwrap();
    let said = run("promtool", &["test", "rules", &file.to_string_lossy()]);
    let _ = fs::remove_dir_all(folder);
    said
}
