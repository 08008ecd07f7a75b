//! The shape that every Rust file of this project keeps, so that each is read in one sitting.

use crate::source::rust_files;

/// Files are meant to have 50 to 250 lines; beyond this one a file is two.
const MOST_LINES: usize = 300;

#[test]
fn every_file_says_what_lives_there_stays_short_and_ignores_no_test() {
    let files = rust_files(&[
        "src",
        "tests",
        "benches",
        "examples",
        "fuzz",
        "observability",
        "xtask/src",
        "build.rs",
    ]);
    assert!(!files.is_empty(), "no source was found");
    let faults: Vec<String> = files.iter().flat_map(|(path, text)| faults(path, text)).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push(format!("{path}:1: does not begin with `//! ` and what lives there"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        faults.push(format!("{path}: {lines} lines; {MOST_LINES} are the most"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("#[ignore") {
            faults.push(format!("{path}:{number}: an ignored test is run by nobody"));
        }
    }
    faults
}

#[test]
fn each_rule_of_shape_can_fail() {
    let good = "//! Lives here.\nfn f() {}\n";
    assert_eq!(faults("a.rs", good), [""; 0]);
    assert_eq!(faults("a.rs", "fn f() {}\n").len(), 1);
    assert_eq!(faults("a.rs", &format!("{good}{}", "\n".repeat(MOST_LINES))).len(), 1);
    assert_eq!(faults("a.rs", &format!("{good}#[test]\n#[{}]\nfn g() {{}}\n", "ignore")).len(), 1);
}
