//! The real binary as a process of its own, on free ports and in a temporary folder.

use super::http::{Answer, LONG};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    time::Instant,
};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_epro-notify");

pub struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    _folder: TempDir,
}

impl Process {
    /// Starts the service with these variables, and waits until it says that it is ready.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        Self::run(Command::new(BINARY), variables)
    }

    /// The same with so few files that it may open.
    pub fn start_with_files(files: u32) -> Self {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("ulimit -n {files} && exec \"$0\""), BINARY]);
        Self::run(shell, &[])
    }

    fn run(mut command: Command, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = command
            .env_clear()
            .current_dir(folder.path())
            .envs(["HTTP", "GRPC", "ADMIN"].map(|of| (format!("APP_{of}__LISTEN"), "127.0.0.1:0")))
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let ready = await_line(&mut lines, "ready");
        let address = |name: &str| ready["fields"][name].as_str().unwrap().parse().unwrap();
        Self { child, lines, http: address("http"), admin: address("admin"), _folder: folder }
    }

    /// Waits until it writes a line with this message.
    pub fn await_line(&mut self, message: &str) {
        await_line(&mut self.lines, message);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code and the rest of its lines, once it has ended.
    pub fn wait(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }

    /// Waits until a page of the admin listener answers with a status.
    pub fn await_page(&self, path: &str, status: u16) {
        let begun = Instant::now();
        while ask(self.admin, path).is_none_or(|answer| answer.status != status) {
            assert!(begun.elapsed() < LONG, "{path} never answers {status}");
            std::thread::yield_now();
        }
    }
}

fn await_line(lines: &mut impl BufRead, message: &str) -> serde_json::Value {
    loop {
        let mut line = String::new();
        assert_ne!(lines.read_line(&mut line).unwrap(), 0, "it ended before {message:?}");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["message"] == message {
            return line;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing is left running, however a test ends; most processes have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is answered to a GET; `None` if nobody listens.
pub fn ask(address: SocketAddr, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    (!answer.is_empty()).then(|| Answer::parse(&answer))
}
