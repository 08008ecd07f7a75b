//! The processes that a run starts. Each ends with the bench, however the bench ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::Result;

/// The hidden command under which the bench starts everything else.
pub const COMMAND: &str = "__child";
const EXEC: &str = "exec";

/// A process that is killed when this is dropped.
pub struct Child {
    name: &'static str,
    process: std::process::Child,
    lines: Arc<AtomicU64>,
    reader: Option<JoinHandle<()>>,
}

impl Child {
    /// Starts `program`, with this environment alone. Its standard output is read away and its lines are
    /// counted, as a container's log driver would; what it says on standard error is seen.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &BTreeMap<&str, String>,
    ) -> Result<Self> {
        Ok(Self::spawn(name, program, arguments, environment)?.read_away())
    }

    /// The same for a program that first says its address in a line of its own.
    ///
    /// # Errors
    /// When it can't be started, or does not say an address.
    pub fn announced(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &BTreeMap<&str, String>,
    ) -> Result<(Self, SocketAddr)> {
        let mut child = Self::spawn(name, program, arguments, environment)?;
        let mut line = Vec::new();
        if let Some(output) = child.process.stdout.as_mut() {
            // Byte by byte, so that no later line is swallowed by a buffer.
            BufReader::with_capacity(1, output).read_until(b'\n', &mut line)?;
        }
        let line = String::from_utf8_lossy(&line);
        let address = line.trim().parse().map_err(|_| format!("{name} did not say its address"))?;
        Ok((child.read_away(), address))
    }

    /// One of the bench's own servers, see [`crate::servers`].
    ///
    /// # Errors
    /// As [`Self::announced`].
    pub fn own(name: &'static str) -> Result<(Self, SocketAddr)> {
        Self::announced(name, &std::env::current_exe()?, &[COMMAND, name], &BTreeMap::new())
    }

    fn spawn(
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &BTreeMap<&str, String>,
    ) -> Result<Self> {
        let process = Command::new(std::env::current_exe()?)
            .args([COMMAND, EXEC])
            .arg(program)
            .args(arguments)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Self { name, process, lines: Arc::default(), reader: None })
    }

    fn read_away(mut self) -> Self {
        let lines = Arc::clone(&self.lines);
        self.reader = self.process.stdout.take().map(|mut output| {
            std::thread::spawn(move || {
                let mut chunk = vec![0; 256 * 1024];
                while let Ok(read @ 1..) = output.read(&mut chunk) {
                    let count = chunk[..read].iter().filter(|byte| **byte == b'\n').count();
                    lines.fetch_add(count as u64, Ordering::Relaxed);
                }
            })
        });
        self
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Lines that it has written to standard output.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
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
                Some(status) => return Err(self.ended_badly(status).into()),
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        Err(format!("{} did not stop within 30 s", self.name).into())
    }

    fn ended_badly(&self, status: ExitStatus) -> String {
        format!("{} stopped with {status}", self.name)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill and its status is known.
        drop(self.process.kill());
        drop(self.process.wait());
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

/// In the new process: asks the kernel to end it with its parent, then becomes the program.
///
/// # Errors
/// When the program can't be started; only then does this return.
pub fn become_program(arguments: &[String]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let [program, arguments @ ..] = arguments else { return Err("no program to start".into()) };
    Err(Command::new(program).args(arguments).exec().into())
}

/// Whether these arguments of [`COMMAND`] ask for another program.
pub fn program(arguments: &[String]) -> Option<&[String]> {
    arguments.split_first().filter(|(kind, _)| *kind == EXEC).map(|(_, program)| program)
}
