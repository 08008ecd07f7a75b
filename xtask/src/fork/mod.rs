//! `cargo xtask fork NAME DIR [--strip]`: a copy of this repository under a new name, with or without the sample.
//!
//! Nothing here is a template: what is copied is what compiles and runs here. `names` says which words are replaced, `strip` what is
//! left out and what stands in its place. `check.sh` makes both kinds, and builds, tests, starts and calls them.

mod names;
mod strip;

use crate::tools::{target, workspace};
use names::{Names, STARTER, TEMPLATE};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// Files of others, and of the chassis, which every fork has as they are.
const UNCHANGED: [&str; 4] = ["crates/", "LICENSE-", "CHANGELOG.md", "Cargo.lock"];

/// Makes a fork, or says why it cannot.
pub fn run(words: &[&str]) -> ExitCode {
    let (name, folder, stripped) = match words {
        [name, folder] => (name, Path::new(folder), false),
        [name, folder, "--strip"] | ["--strip", name, folder] => (name, Path::new(folder), true),
        _ => {
            eprintln!("usage: cargo xtask fork NAME DIR [--strip]");
            return ExitCode::from(crate::EX_USAGE);
        }
    };
    let names = Names::new(name, &workspace()).and_then(|names| is_empty(folder).map(|()| names));
    let new = !folder.exists();
    let (made, code) = match names.and_then(|names| is_clean(folder).map(|()| names)) {
        Ok(names) => (make(&names, folder, stripped), ExitCode::FAILURE),
        Err(why) => (Err(why), ExitCode::from(crate::EX_USAGE)),
    };
    if made.is_err() && new {
        // The next try finds the place as this one did.
        let _ = fs::remove_dir_all(folder);
    }
    match made {
        Ok(said) => {
            println!("{said}; next: cd {} && cargo test && cargo run", folder.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            code
        }
    }
}

/// Checks both kinds of forks, or one.
pub fn check(kind: &[&str]) -> ExitCode {
    let script = workspace().join("xtask/src/fork/check.sh");
    let status = Command::new("bash").arg(script).arg(target()).args(kind).current_dir(workspace()).status();
    if status.is_ok_and(|status| status.success()) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_empty(folder: &Path) -> Result<(), String> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Err(_) if !folder.exists() => Ok(()),
        _ => {
            Err(format!("DIR: {} is not an empty folder: choose one that is new or empty", folder.display()))
        }
    }
}

/// Only what is committed is copied, so there is nothing else; and a fork inside would be copied into the next one.
fn is_clean(folder: &Path) -> Result<(), String> {
    let root = workspace();
    let changed = git(&root, &["status", "--porcelain"])?;
    if let Some(first) = changed.lines().next() {
        let (count, first) = (changed.lines().count(), first.get(3..).unwrap_or(first));
        return Err(format!(
            "the repository has {count} changed or untracked files, {first} among them: commit, remove or ignore them, so that the \
             fork is of what is committed"
        ));
    }
    let absolute = std::path::absolute(folder).map_err(|error| format!("DIR: {error}"))?;
    let above = absolute.ancestors().skip(1).find_map(|above| fs::canonicalize(above).ok());
    let inside = above.is_some_and(|above| above.starts_with(&root));
    if inside && git(&root, &["check-ignore", "--quiet", &folder.to_string_lossy()]).is_err() {
        return Err(format!("DIR: {} is inside the repository: choose a folder beside it", folder.display()));
    }
    Ok(())
}

/// Writes the files of a fork and commits them; says what it did.
fn make(names: &Names, folder: &Path, stripped: bool) -> Result<String, String> {
    let root = workspace();
    let list = git(&root, &["ls-files", "-z"])?;
    let files: Vec<&str> = list.split('\0').filter(|file| root.join(file).is_file()).collect();
    let plan = if stripped { strip::plan(&files) } else { files.iter().map(|file| (*file, *file)).collect() };
    let mut written = Vec::new();
    for (from, to) in &plan {
        let path = if stripped { to.replace(STARTER, TEMPLATE) } else { (*to).to_owned() };
        let target = folder.join(if is_unchanged(to) { path } else { names.rename(to, &path) });
        copy(names, &root.join(from), to, &target, stripped)
            .map_err(|error| format!("{}: {error}", target.display()))?;
        written.push(target);
    }
    if stripped {
        strip::manifest(names, &root, folder, &written)?;
    }
    // Names have another length and another place in the alphabet now; the versions of the lock file stay.
    command(folder, "cargo", &["update", "--workspace", "--offline", "--quiet"])?;
    command(folder, "cargo", &["fmt", "--all"])?;
    let (old, not) =
        if stripped { (&strip::SAMPLE[..], &strip::ELSEWHERE[..]) } else { (&names::OLD[..], &[][..]) };
    names_nothing(names, folder, &written, old, not)?;
    // The branch that the workflow watches.
    git(folder, &["init", "--quiet", "--initial-branch=main"])?;
    let message = format!(
        "{}: forked from {TEMPLATE} {}",
        names.kebab,
        git(&root, &["rev-parse", "--short=12", "HEAD"])?.trim()
    );
    let known = git(folder, &["config", "user.email"]).is_ok();
    let author = if known { &[][..] } else { &["-c", "user.name=fork", "-c", "user.email=fork@localhost"] };
    git(folder, &["add", "--all"])?;
    git(folder, &[author, &["commit", "--quiet", "--no-gpg-sign", "--message", &message]].concat())?;
    Ok(format!("{} files in {}, a git repository with one commit", plan.len(), folder.display()))
}

fn is_unchanged(file: &str) -> bool {
    UNCHANGED.iter().any(|prefix| file.starts_with(prefix))
}

/// Copies a file with its rights and its time, so that a fork made again is built again only where it differs.
fn copy(names: &Names, from: &Path, file: &str, target: &Path, stripped: bool) -> std::io::Result<()> {
    target.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::copy(from, target)?;
    if let Some(text) = fs::read_to_string(from).ok().filter(|_| !is_unchanged(file) || file == "Cargo.lock")
    {
        let text = if stripped { strip::text(file, &text) } else { text };
        fs::write(target, names.rename(file, &text))?;
    }
    fs::File::options().append(true).open(target)?.set_modified(fs::metadata(from)?.modified()?)
}

/// Fails with the first file and line of a fork that has one of these words, but for what every fork has as it is.
fn names_nothing(
    names: &Names,
    folder: &Path,
    files: &[PathBuf],
    words: &[&str],
    not: &[&str],
) -> Result<(), String> {
    for path in files {
        let file = path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned();
        // The path is line 0.
        let text = format!("{file}\n{}", String::from_utf8_lossy(&fs::read(path).unwrap_or_default()));
        for (number, line) in text.lines().enumerate().filter(|_| !is_unchanged(&file)) {
            let line =
                not.iter().fold(names.without(line), |line, word| line.replace(word, "")).to_lowercase();
            if let Some(word) = words.iter().find(|word| line.contains(**word)) {
                return Err(format!(
                    "{file}:{number} names {word:?}, which the fork should not: {}",
                    line.trim()
                ));
            }
        }
    }
    Ok(())
}

fn git(folder: &Path, words: &[&str]) -> Result<String, String> {
    command(folder, "git", words)
}

/// Variables of the cargo, or of the git hook, that runs this. With a hook's, the fork would be committed to this repository.
const OUTER: [&str; 5] =
    ["CARGO_MANIFEST_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE", "RUSTUP_TOOLCHAIN"];

/// What a command prints, without the settings of the one that runs this.
fn command(folder: &Path, program: &str, words: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(words).current_dir(folder).stdin(Stdio::null());
    for variable in OUTER {
        command.env_remove(variable);
    }
    let output = command.output();
    let what = || format!("{program} {}", words.join(" "));
    let output = output.map_err(|error| format!("{}: {error}", what()))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{}: {}", what(), String::from_utf8_lossy(&output.stderr).trim())),
    }
}
