//! Whether forks work, as a stage of `cargo xtask test`: both kinds are built, tested, started and called, the stripped one after it was
//! made, and got an endpoint and a job of its own, by the very commands that the README has.
//!
//! They are built in this repository's build folder, and always in the same place: what has not changed is not built again.

use super::{Names, files_below, git, make, output};
use crate::tools::{target, workspace};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead as _, BufReader, Lines, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{ChildStdout, Command, ExitCode, Stdio},
    time::Instant,
};

/// Of the complete fork's tests those that know the name: the others are this repository's, word for word.
const BY_NAME: [&str; 8] = [
    "alerts::",
    "config::",
    "contract::",
    "dashboards::",
    "deploy::",
    "docs::",
    "process::start",
    "reference::",
];

/// Checks one kind, or both.
pub fn run(kind: &str) -> ExitCode {
    let target = target();
    let room = target.join("forks");
    let checked = match kind {
        "complete" => complete(&room, &target),
        "stripped" => stripped(&room, &target),
        _ => complete(&room, &target).and_then(|()| stripped(&room, &target)),
    };
    match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn complete(room: &Path, target: &Path) -> Result<(), String> {
    let folder = room.join("complete");
    let names = Names::new("fork-complete", &workspace())?;
    let _ = fs::remove_dir_all(&folder);
    timed("fork", || make(&names, &folder, false).map(drop))?;
    names_no_other(&folder)?;
    timed("build", || {
        shown(in_fork(&folder, target, "cargo").args(["build", "--locked", "--all-features", "--bins"]))
    })?;
    let test = ["test", "--locked", "--all-features", "--lib", "--test", "files", "--test", "it", "--"];
    timed("test", || shown(in_fork(&folder, target, "cargo").args(test).args(BY_NAME)))?;
    let body = r#"{"patientId":"p-1","message":"a reminder"}"#;
    call(&names, &folder, target, &[("/api/v1/notifications/sms/async", body)])
}

fn stripped(room: &Path, target: &Path) -> Result<(), String> {
    let (template, folder) = (room.join("template"), room.join("order-service"));
    let names = Names::new("order-service", &workspace())?;
    let _ = (fs::remove_dir_all(&template), fs::remove_dir_all(&folder));
    // A clean clone, as a newcomer has one, of files that are as old as ours.
    output(Command::new("git").args(["clone", "--quiet"]).args([&workspace(), &template]), "git clone")?;
    for file in git(&template, &["ls-files"])?.lines() {
        let time = fs::metadata(workspace().join(file)).and_then(|file| file.modified());
        let copied = fs::File::options().append(true).open(template.join(file));
        let _ = copied.and_then(|copied| copied.set_modified(time?));
    }
    let steps = steps(&template)?;
    timed("the README's steps", || {
        let mut bash = in_fork(&template, target, "bash");
        shown(bash.args(["-euo", "pipefail", "-c", &steps]))
    })?;
    let body = r#"{"text":"a few words"}"#;
    call(&names, &folder, target, &[("/api/v1/examples", body), ("/api/v1/parcels", body)])?;
    timed("an edit in src/, built", || {
        let file = folder.join("src/app.rs");
        let text = fs::read_to_string(&file).map_err(|error| error.to_string())?;
        fs::write(&file, text + "\n// Edited.\n").map_err(|error| error.to_string())?;
        shown(in_fork(&folder, target, "cargo").args(["build", "--locked"]))
    })
}

/// The commands under "Make it yours", as they are written.
fn steps(template: &Path) -> Result<String, String> {
    let readme = fs::read_to_string(template.join("README.md")).map_err(|error| error.to_string())?;
    let section =
        readme.split("\n## ").find(|section| section.starts_with("Make it yours")).unwrap_or_default();
    let blocks = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let steps = blocks.collect::<String>();
    if steps.contains("cargo xtask fork order-service ../order-service --strip") {
        Ok(steps)
    } else {
        Err("the README has no steps".to_owned())
    }
}

/// The old name is in no file of a fork but those that every fork has as they are.
fn names_no_other(folder: &Path) -> Result<(), String> {
    for path in files_below(folder) {
        let file = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
        let old = [super::names::TEMPLATE.to_owned(), super::names::TEMPLATE.replace('-', "_")];
        if !super::is_unchanged(&file)
            && old.iter().any(|old| text.contains(old.as_str()) || file.contains(old.as_str()))
        {
            return Err(format!("{file} of the fork has the old name"));
        }
    }
    Ok(())
}

/// A command in a fork, which shares the build folder.
fn in_fork(folder: &Path, target: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env("CARGO_TARGET_DIR", target).stdin(Stdio::null());
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    command
}

fn shown(command: &mut Command) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}")) }
}

fn timed(what: &str, run: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let started = Instant::now();
    run()?;
    println!("{:.1} s  {what}", started.elapsed().as_secs_f64());
    Ok(())
}

/// Starts the fork's service, calls it, and stops it as an operator does.
fn call(names: &Names, folder: &Path, target: &Path, calls: &[(&str, &str)]) -> Result<(), String> {
    let data = folder.join("data-of-the-check.db");
    let mut command = in_fork(folder, target, &target.join("debug").join(&names.kebab).to_string_lossy());
    for (key, value) in [
        ("HTTP__LISTEN", "127.0.0.1:0"),
        ("GRPC__LISTEN", "127.0.0.1:0"),
        ("ADMIN__LISTEN", "127.0.0.1:0"),
        ("STORE__URL", &format!("sqlite://{}", data.display())),
    ] {
        command.env(names.variable(key), value);
    }
    let mut service =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("{command:?}: {error}"))?;
    let mut lines = BufReader::new(service.stdout.take().ok_or("no output")?).lines();
    let called = ready(&mut lines).and_then(|address| {
        calls.iter().try_for_each(|(path, body)| {
            let status = post(&address, path, body).map_err(|error| format!("{path}: {error}"))?;
            println!("POST {path}: {status}");
            if status.contains(" 202 ") { Ok(()) } else { Err(format!("{path}: {status}")) }
        })
    });
    let _ = Command::new("kill").arg(service.id().to_string()).status();
    let status = service.wait().map_err(|error| error.to_string())?;
    called.and(if status.success() { Ok(()) } else { Err(format!("{}: {status}", names.kebab)) })
}

/// Waits for the line that names the address.
fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<String, String> {
    let mut lines = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let line = lines.find(|line| line["message"] == "ready").ok_or("the service did not become ready")?;
    Ok(line["fields"]["http"].as_str().unwrap_or_default().to_owned())
}

/// The first line of the answer.
fn post(address: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
