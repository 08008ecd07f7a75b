//! One stage: a command, and the tools that it can't do without.

use crate::{
    account::Verdict,
    tools::{Tool, Tools},
};
use std::{
    io::{BufRead, BufReader, ErrorKind},
    num::NonZero,
    process::{Command, Stdio},
    thread,
};

/// Seconds that a stage may take: the whole has an hour, cold.
const MOST_SECONDS: &str = "1500";

/// What to do about a tool that is missing.
#[derive(Clone, Copy)]
pub struct Policy {
    /// Fetch it.
    pub install: bool,
    /// Fail without it, instead of skipping the stage.
    pub strict: bool,
}

/// One test target out of everything, so that its dependencies are those that every other stage has built.
const TARGET: [&str; 5] = ["test", "--workspace", "--all-features", "--locked", "--test"];

enum Run {
    /// `cargo` with these arguments.
    Cargo(&'static [&'static str]),
    /// The stage's first tool itself with these arguments.
    Tool(&'static [&'static str]),
    /// The tests of the `peers` binary whose path starts so. It is apart from `cargo test`, which is hermetic.
    Peer(&'static str),
    /// All tests of this binary, which is apart for the same reason.
    Target(&'static str),
}

/// A named command.
pub struct Stage {
    name: &'static str,
    tools: &'static [Tool],
    run: Run,
    env: Option<(&'static str, &'static str)>,
}

impl Stage {
    pub const fn cargo(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self { name, tools: &[], run: Run::Cargo(arguments), env: None }
    }

    pub const fn with(
        name: &'static str,
        tools: &'static [Tool],
        arguments: &'static [&'static str],
    ) -> Self {
        Self { name, tools, run: Run::Tool(arguments), env: None }
    }

    pub const fn peer(name: &'static str, tools: &'static [Tool], filter: &'static str) -> Self {
        Self { name, tools, run: Run::Peer(filter), env: None }
    }

    pub const fn target(name: &'static str, tools: &'static [Tool], target: &'static str) -> Self {
        Self { name, tools, run: Run::Target(target), env: None }
    }

    /// Tests of the `peers` binary that need no program, but minutes.
    pub const fn long(name: &'static str, filter: &'static str) -> Self {
        Self { name, tools: &[], run: Run::Peer(filter), env: None }
    }

    pub const fn with_env(mut self, name: &'static str, value: &'static str) -> Self {
        self.env = Some((name, value));
        self
    }

    /// A command of cargo's that can't do without the tools.
    pub const fn needing(mut self, tools: &'static [Tool]) -> Self {
        self.tools = tools;
        self
    }

    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the command in the workspace's root, its output passed on as it comes.
    pub fn run(&self, tools: &Tools, policy: Policy) -> Verdict {
        let provided = self.tools.iter().try_for_each(|tool| tools.provide(*tool, policy.install));
        if let Err(why) = provided {
            return if policy.strict { Verdict::Impossible(why) } else { Verdict::Skipped(why) };
        }
        let mut command = if policy.strict { limited(&self.command()) } else { self.command() };
        command
            .current_dir(tools.workspace())
            .env("PATH", tools.path())
            .envs(self.threads())
            .envs(self.env)
            .stdout(Stdio::piped());
        match watch(command) {
            Ok(verdict) => verdict,
            Err(error) => Verdict::Impossible(format!("can't run: {error}")),
        }
    }

    /// How many tests run at once: but for those of whole stacks they wait more than they compute.
    fn threads(&self) -> Option<(&'static str, String)> {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        matches!(self.run, Run::Cargo(_) | Run::Target(_))
            .then(|| ("RUST_TEST_THREADS", (2 * cores).to_string()))
    }

    fn command(&self) -> Command {
        let cargo = || Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        match (&self.run, self.tools.first()) {
            (Run::Tool(arguments), Some(tool)) => {
                let mut command = Command::new(tool.program());
                command.args(*arguments);
                command
            }
            (Run::Cargo(arguments) | Run::Tool(arguments), _) => {
                let mut command = cargo();
                command.args(*arguments);
                command
            }
            (Run::Target(target), _) => {
                let mut command = cargo();
                command.args(TARGET).arg(target);
                command
            }
            (Run::Peer(filter), _) => {
                let mut command = cargo();
                command.args(TARGET).args(["peers", "--", filter]);
                // Some tell figures that are worth reading when all is well.
                command.arg("--show-output");
                command
            }
        }
    }
}

/// The command under coreutils' `timeout`, which ends it with all that it started: nobody watches
/// a test that hangs in continuous integration. At a terminal Ctrl-C has to reach the command instead.
fn limited(command: &Command) -> Command {
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=10", MOST_SECONDS]).arg(command.get_program()).args(command.get_args());
    limited
}

/// Passes the output on and adds up what its tests say.
fn watch(mut command: Command) -> std::io::Result<Verdict> {
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
    let mut tests = Tests::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        tests.read(&line);
    }
    let succeeded = child.wait()?.success();
    Ok(tests.verdict(succeeded))
}

/// The sum of libtest's `test result:` lines.
#[derive(Default)]
struct Tests {
    seen: bool,
    passed: u64,
    failed: u64,
}

impl Tests {
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        let count = |word| {
            let before = result.split(word).next().unwrap_or_default();
            before.trim_end().rsplit(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
        };
        self.seen = true;
        self.passed += count("passed");
        self.failed += count("failed");
    }

    /// A command that fails without a failed test (it did not build, say) is one failure; so is a
    /// stage of tests in which not one ran, since a filter that matches nothing proves nothing.
    fn verdict(&self, succeeded: bool) -> Verdict {
        match (self.seen, succeeded) {
            (false, true) => Verdict::Ran { passed: 1, failed: 0 },
            (true, true) if self.passed == 0 => Verdict::Impossible("no test ran".into()),
            (_, true) => Verdict::Ran { passed: self.passed, failed: self.failed },
            (_, false) => Verdict::Ran { passed: self.passed, failed: self.failed.max(1) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Tests, Verdict};

    fn after(lines: &[&str], succeeded: bool) -> Verdict {
        let mut tests = Tests::default();
        lines.iter().for_each(|line| tests.read(line));
        tests.verdict(succeeded)
    }

    #[test]
    fn the_results_of_all_test_binaries_are_added_up() {
        let lines = [
            "running 12 tests",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
        ];
        assert!(matches!(after(&lines, false), Verdict::Ran { passed: 15, failed: 2 }));
    }

    #[test]
    fn a_command_that_fails_without_a_failed_test_is_one_failure() {
        assert!(matches!(after(&["error: could not compile"], false), Verdict::Ran { passed: 0, failed: 1 }));
    }

    #[test]
    fn a_filter_that_matches_no_test_proves_nothing() {
        let none =
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s";
        assert!(matches!(after(&[none], true), Verdict::Impossible(_)));
    }
}
