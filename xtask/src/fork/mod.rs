//! `cargo xtask fork NAME DIR [--strip]`: a copy of this repository under a new name, with or without the sample.
//!
//! Nothing here is a template: what is copied is what compiles and runs here. `names` says which words are replaced,
//! `strip` what is left out and what stands in its place.

pub mod check;
mod names;
mod strip;

use crate::tools::workspace;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use names::Names;

const USAGE: &str = "usage: cargo xtask fork NAME DIR [--strip]";

/// Files of others, and of the chassis, which every fork has as they are.
const UNCHANGED: [&str; 3] = ["crates/", "LICENSE-", "CHANGELOG.md"];

/// Makes a fork, or says why it cannot.
pub fn run(words: &[&str]) -> ExitCode {
    let (name, folder, stripped) = match words {
        [name, folder] => (name, folder, false),
        [name, folder, "--strip"] | ["--strip", name, folder] => (name, folder, true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(crate::EX_USAGE);
        }
    };
    let folder = Path::new(folder);
    let checked = Names::new(name, &workspace()).and_then(|names| {
        is_empty(folder)?;
        is_clean(folder).map(|()| names)
    });
    let names = match checked {
        Ok(names) => names,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(crate::EX_USAGE);
        }
    };
    match make(&names, folder, stripped).and_then(|files| commit(&names, folder).map(|said| (files, said))) {
        Ok((files, said)) => {
            let folder = folder.display();
            println!("{files} files in {folder}{said}. Next: cd {folder} && cargo test && cargo run");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn is_empty(folder: &Path) -> Result<(), String> {
    let shown = folder.display();
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("DIR: {shown} is not empty: choose a folder that is new or empty")),
        Err(_) if folder.exists() => {
            Err(format!("DIR: {shown} is no folder: choose one that is new or empty"))
        }
        Err(_) => Ok(()),
    }
}

/// Only what is committed is copied, so there is nothing else; and a fork inside would be copied into the next one.
fn is_clean(folder: &Path) -> Result<(), String> {
    let changed = git(&workspace(), &["status", "--porcelain"])?;
    if let Some(first) = changed.lines().next() {
        let (count, first) = (changed.lines().count(), first.get(3..).unwrap_or(first));
        return Err(format!(
            "this repository has {count} changed or untracked files, {first} among them: commit, remove or ignore them, so \
             that the fork is of what is committed"
        ));
    }
    let absolute = std::path::absolute(folder).map_err(|error| format!("DIR: {error}"))?;
    let inside = absolute.starts_with(workspace());
    if inside && git(&workspace(), &["check-ignore", "--quiet", &absolute.to_string_lossy()]).is_err() {
        return Err(format!(
            "DIR: {} is inside this repository: choose a folder beside it",
            folder.display()
        ));
    }
    Ok(())
}

/// Writes the files of a fork, and returns how many.
fn make(names: &Names, folder: &Path, stripped: bool) -> Result<usize, String> {
    let root = workspace();
    let list = git(&root, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let files: Vec<&str> = list.split('\0').filter(|file| root.join(file).is_file()).collect();
    let plan: Vec<(&str, &str)> =
        if stripped { strip::plan(&files) } else { files.into_iter().map(|file| (file, file)).collect() };
    for (from, to) in &plan {
        let path = if stripped { to.replace(names::STARTER, names::TEMPLATE) } else { (*to).to_owned() };
        let target = folder.join(if is_unchanged(to) { path } else { names.rename(to, &path) });
        copy(names, &root.join(from), to, &target, stripped)
            .map_err(|error| format!("{}: {error}", target.display()))?;
    }
    if stripped {
        strip::manifest(names, &root, folder)?;
    }
    // Names have changed their length and their place in the alphabet; the versions of the lock file stay.
    cargo(folder, &["metadata", "--format-version", "1"])?;
    cargo(folder, &["fmt", "--all"])?;
    if stripped {
        strip::names_nothing(names, folder)?;
    }
    Ok(plan.len())
}

fn is_unchanged(file: &str) -> bool {
    UNCHANGED.iter().any(|prefix| file.starts_with(prefix))
}

/// Copies a file with its rights and its time, so that a fork made again is built again only where it differs.
fn copy(names: &Names, from: &Path, file: &str, target: &Path, stripped: bool) -> std::io::Result<()> {
    target.parent().map_or(Ok(()), fs::create_dir_all)?;
    let time = fs::metadata(from)?.modified()?;
    fs::copy(from, target)?;
    if !is_unchanged(file)
        && let Ok(text) = fs::read_to_string(from)
    {
        let text = if stripped { strip::text(file, &text) } else { text };
        fs::write(target, names.rename(file, &text))?;
    }
    fs::File::options().append(true).open(target)?.set_modified(time)
}

/// The fork's own history begins with what it was made of. Without git there is none.
fn commit(names: &Names, folder: &Path) -> Result<String, String> {
    let from = git(&workspace(), &["rev-parse", "--short=12", "HEAD"])?;
    let message = format!("{}: forked from {} {}", names.kebab, names::TEMPLATE, from.trim());
    if git(folder, &["init", "--quiet"]).is_err() {
        return Ok(" (no repository: git is missing)".to_owned());
    }
    git(folder, &["add", "--all"])?;
    let known = git(folder, &["config", "user.email"]).is_ok();
    let nobody = ["-c", "user.name=fork", "-c", "user.email=fork@localhost"];
    let words = ["commit", "--quiet", "--message", &message];
    git(folder, &if known { words.to_vec() } else { [&nobody[..], &words].concat() })?;
    Ok(", a git repository with one commit".to_owned())
}

fn git(folder: &Path, words: &[&str]) -> Result<String, String> {
    output(Command::new("git").arg("-C").arg(folder).args(words), &format!("git {}", words.join(" ")))
}

fn cargo(folder: &Path, words: &[&str]) -> Result<(), String> {
    let mut command = Command::new("cargo");
    // The fork has a tool chain of its own to name, and settings of this one are not meant for it.
    command.args(words).current_dir(folder).env_remove("CARGO_MANIFEST_DIR").env_remove("RUSTUP_TOOLCHAIN");
    output(&mut command, &format!("cargo {}", words.join(" "))).map(drop)
}

fn output(command: &mut Command, what: &str) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{what}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// All files below a folder, by name, without those of git.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![folder.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            match path.file_name() {
                Some(name) if name == ".git" || name == "target" => {}
                _ if path.is_dir() => folders.push(path),
                _ => files.push(path),
            }
        }
    }
    files.sort();
    files
}
