//! The processes that a run starts. Each ends with the bench, however the bench ends.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use tempfile::NamedTempFile;

use crate::Result;

/// The hidden command under which the bench starts everything else.
pub const COMMAND: &str = "__child";
const EXEC: &str = "exec";
const ANNOUNCED: Duration = Duration::from_secs(10);

pub type Environment = BTreeMap<&'static str, String>;

/// A process that is killed when this is dropped.
pub struct Child {
    name: &'static str,
    process: std::process::Child,
    /// Where its standard output goes, as a container's log would.
    output: NamedTempFile,
}

impl Child {
    /// Starts `program` with this environment alone. Its standard error is seen.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &Environment,
    ) -> Result<Self> {
        let output = NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
        let process = Command::new(std::env::current_exe()?)
            .args([COMMAND, EXEC])
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(output.reopen()?)
            .spawn()?;
        Ok(Self { name, process, output })
    }

    /// The same for a program that first writes its address in a line of its own.
    ///
    /// # Errors
    /// When it can't be started, or writes no address.
    pub fn announced(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &Environment,
    ) -> Result<(Self, SocketAddr)> {
        let mut child = Self::start(name, program, arguments, environment)?;
        let started = Instant::now();
        while started.elapsed() < ANNOUNCED {
            child.still_runs()?;
            let output = fs::read_to_string(child.output.path())?;
            if let Some((line, _)) = output.split_once('\n') {
                let address = line.parse().map_err(|_| format!("{name} wrote no address"))?;
                return Ok((child, address));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("{name} wrote no address within 10 s").into())
    }

    /// One of the bench's own servers, see [`crate::servers`].
    ///
    /// # Errors
    /// As [`Self::announced`].
    pub fn own(name: &'static str, environment: &Environment) -> Result<(Self, SocketAddr)> {
        Self::announced(name, &std::env::current_exe()?, &[COMMAND, name], environment)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Lines that it has written to standard output.
    ///
    /// # Errors
    /// Of the file system.
    pub fn lines(&self) -> Result<u64> {
        let bytes = fs::read(self.output.path())?;
        Ok(bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
    }

    /// # Errors
    /// When it has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("{} ended with {status}", self.name).into()),
        }
    }

    /// Asks it to stop and waits for it.
    ///
    /// # Errors
    /// When it does not stop cleanly within 30 s; it is killed then.
    pub fn stop(mut self) -> Result<()> {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).ok_or("no pid")?;
        kill_process(pid, Signal::TERM)?;
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            match self.process.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(format!("{} stopped with {status}", self.name).into()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(format!("{} did not stop within 30 s", self.name).into())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and its status is known.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// In the new process: asks the kernel to end it with its parent, then becomes the program.
///
/// # Errors
/// When the program can't be started; only then does this return.
pub fn become_program(arguments: &[&str]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let [program, arguments @ ..] = arguments else { return Err("no program to start".into()) };
    Err(Command::new(program).args(arguments).exec().into())
}

/// The other program that these arguments of [`COMMAND`] ask for.
pub fn program<'a, 'b>(arguments: &'a [&'b str]) -> Option<&'a [&'b str]> {
    arguments.split_first().filter(|(kind, _)| **kind == EXEC).map(|(_, program)| program)
}
