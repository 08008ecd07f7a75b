//! Tells the code what it is built of: the commit and the compiler.

use std::{env, fs, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // An image is built without the repository's history, so the commit can be given.
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    for path in ["HEAD", "logs/HEAD"] {
        // Only a file that is there: a missing one would run this on every build.
        let path = output("git", &["rev-parse", "--git-path", path]);
        if let Some(path) = path.filter(|path| fs::exists(path).unwrap_or(false)) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let given = env::var("BUILD_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| output("git", &["rev-parse", "--short=12", "HEAD"]));
    let rustc = output(&env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()), &["--version"]);
    // `rustc 1.95.0 (…)`: only the number.
    let rustc = rustc.and_then(|text| text.split(' ').nth(1).map(str::to_owned));
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=BUILD_RUSTC={}", rustc.as_deref().unwrap_or("unknown"));
}

/// The one line that a command prints, if it succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok().filter(|_| output.status.success())?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}
