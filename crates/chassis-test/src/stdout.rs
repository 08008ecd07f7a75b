//! A program whose stdout is a pipe that the test reads, or does not read.

use crate::{
    app::TestApp,
    client::ask,
    metrics::Page,
    wait::{until, until_so},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, ChildStdout, Stdio},
};

/// A running program that writes into a pipe. Dropping it kills it.
pub struct Piped {
    child: Child,
    /// What is still to be read.
    pub reader: Option<BufReader<ChildStdout>>,
    /// How many lines have been read until the program was ready.
    pub read: u64,
    pub http: SocketAddr,
    admin: SocketAddr,
}

impl Piped {
    /// Starts the program and reads until its `ready` line, and no further.
    pub fn start(app: &TestApp) -> Self {
        let mut child = app.command().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut read = 0;
        let ready = loop {
            let mut line = String::new();
            assert_ne!(reader.read_line(&mut line).unwrap(), 0, "the program ended before it was ready");
            read += 1;
            let line: Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "ready" {
                break line;
            }
        };
        let address = |name: &str| ready["fields"][name].as_str().unwrap().parse().unwrap();
        let (http, admin) = (address("http"), address("admin"));
        until_so("readiness", || ask(admin, "GET", "/readyz", "").is_ok_and(|answer| answer.status == 200));
        Self { child, reader: Some(reader), read, http, admin }
    }

    pub fn metrics(&self) -> Page {
        Page::text(&ask(self.admin, "GET", "/metrics", "").unwrap().body)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        until("the program ends", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
