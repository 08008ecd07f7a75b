//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, on the stable compiler. What a target is stands in
//! `fuzz/targets/mod.rs`; the hermetic tests (`fuzz/seeds.rs`) run the same targets without libFuzzer.

use crate::{
    EX_USAGE,
    tools::{target, workspace},
};
use std::{
    env, fs, io,
    num::NonZero,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output, Stdio},
    thread,
};

/// Seconds for a target when the caller does not say.
const USUAL_SECONDS: u32 = 60;
/// Seconds within which the planted bug has to be found: it takes one.
const PLANTED_SECONDS: u32 = 60;

/// Builds the targets and runs one, or all of them, on every core one. Fails if one breaks.
pub fn run(words: &[&str]) -> ExitCode {
    let seeds = workspace().join("fuzz/corpus");
    let known = match folders(&seeds) {
        Ok(known) => known,
        Err(error) => {
            eprintln!("{}: {error}", seeds.display());
            return ExitCode::FAILURE;
        }
    };
    // libFuzzer takes none for without end.
    let read = |seconds: &str| seconds.parse::<NonZero<u32>>().ok().map(NonZero::get);
    let (target, seconds) = match words {
        [] => (None, Some(USUAL_SECONDS)),
        ["--seconds", seconds] => (None, read(seconds)),
        [target] => (Some(*target), Some(USUAL_SECONDS)),
        [target, "--seconds", seconds] => (Some(*target), read(seconds)),
        _ => (None, None),
    };
    let chosen: Vec<String> =
        known.iter().filter(|name| target.is_none_or(|only| *name == only)).cloned().collect();
    let Some(seconds) = seconds.filter(|_| !chosen.is_empty()) else {
        eprintln!("usage: cargo xtask fuzz [TARGET] [--seconds N]; targets are {}", known.join(", "));
        return ExitCode::from(EX_USAGE);
    };
    match Fuzzer::build(seeds).and_then(|fuzzer| fuzzer.all(&chosen, seconds)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

struct Fuzzer {
    program: PathBuf,
    /// `fuzz/corpus`: the seeds, a folder for each target.
    seeds: PathBuf,
    /// Where found inputs go: no part of the repository.
    room: PathBuf,
}

impl Fuzzer {
    /// Only this project's own code is told to say which branches it takes: the dependencies are those that
    /// `cargo test` built, so that this takes a minute and not five.
    fn build(seeds: PathBuf) -> Result<Self, String> {
        let workspace = workspace();
        let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--workspace", "--all-features", "--locked", "--test", "fuzz", "--no-run"])
            .arg("--message-format=json-render-diagnostics")
            .env("RUSTC_WORKSPACE_WRAPPER", workspace.join("fuzz/instrument.sh"))
            .current_dir(&workspace)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cargo: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let program = said.lines().filter_map(executable).next_back();
        let program = program.filter(|_| output.status.success()).ok_or("the targets can't be built")?;
        Ok(Self { program: program.into(), seeds, room: target().join("fuzz") })
    }

    fn all(&self, chosen: &[String], seconds: u32) -> Result<(), String> {
        self.finds_the_planted_bug()?;
        // Each takes one core for as long as the others.
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let share =
            |first| chosen.iter().skip(first).step_by(cores).try_for_each(|name| self.holds(name, seconds));
        thread::scope(|scope| {
            let running: Vec<_> = (0..cores).map(|first| scope.spawn(move || share(first))).collect();
            running.into_iter().try_for_each(|share| share.join().map_err(|_| "it panicked".to_owned())?)
        })
    }

    fn holds(&self, name: &str, seconds: u32) -> Result<(), String> {
        let run = self.run(name, seconds)?;
        let said = String::from_utf8_lossy(&run.stderr);
        if !run.status.success() {
            eprintln!("{said}");
            return Err(format!("{name} broke; the input is in {}", self.room.join("found").display()));
        }
        println!("{name}: {} inputs in {seconds} s", inputs(&said));
        Ok(())
    }

    /// Without news of the branches taken it would not be found in hours.
    fn finds_the_planted_bug(&self) -> Result<(), String> {
        // What was learned the last time would make it easy.
        let _ = fs::remove_dir_all(self.room.join("corpus/planted"));
        let found = !self.run("planted", PLANTED_SECONDS)?.status.success();
        if found { Ok(()) } else { Err("the planted bug was not found: this finds nothing".to_owned()) }
    }

    /// Runs a target. Inputs that are worth keeping go into a folder of their own, not to the seeds.
    fn run(&self, name: &str, seconds: u32) -> Result<Output, String> {
        let (grown, found) = (self.room.join("corpus").join(name), self.room.join("found"));
        let folders = fs::create_dir_all(&grown).and_then(|()| fs::create_dir_all(&found));
        folders.map_err(|error| format!("{}: {error}", self.room.display()))?;
        let seeds = Some(self.seeds.join(name)).filter(|seeds| seeds.is_dir());
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/{name}-", found.display()))
            .args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=4096", "-print_final_stats=1"])
            .arg(grown)
            .args(seeds)
            .env("FUZZ_TARGET", name);
        command.output().map_err(|error| error.to_string())
    }
}

/// The program that a message of cargo's says it made.
fn executable(message: &str) -> Option<&str> {
    message.split_once("\"executable\":\"")?.1.split('"').next()
}

/// How many inputs a run says it tried.
fn inputs(said: &str) -> &str {
    let after = said.split_once("number_of_executed_units:").map_or("", |(_, rest)| rest);
    after.split_whitespace().next().unwrap_or("no")
}

fn folders(of: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(of)?.collect::<io::Result<Vec<_>>>()?;
    let mut names: Vec<String> =
        entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{executable, inputs};

    #[test]
    fn the_program_is_found_in_what_cargo_says() {
        let message =
            r#"{"reason":"compiler-artifact","executable":"/target/debug/deps/fuzz-1","fresh":true}"#;
        assert_eq!(executable(message), Some("/target/debug/deps/fuzz-1"));
        assert_eq!(executable(r#"{"executable":null}"#), None);
    }

    #[test]
    fn a_run_says_how_many_inputs_it_tried() {
        assert_eq!(inputs("Done\nstat::number_of_executed_units: 412\nstat::average: 2"), "412");
        assert_eq!(inputs(""), "no");
    }
}
