//! Programs of others as processes: each ends with its owner, also when a test fails, and tells its log then.

use crate::need;
use chassis_test::{Answer, ask, until};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// A running program.
pub struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program that is on the `PATH`. All that it writes goes into a file of this folder.
    pub fn start(name: &'static str, folder: &Path, arrange: impl FnOnce(&mut Command)) -> Self {
        need(name);
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(name);
        command.current_dir(folder).stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        arrange(&mut command);
        let child = command.spawn().unwrap_or_else(|error| panic!("can't start {name}: {error}"));
        Self { name, child, log }
    }

    /// Waits until it is so; fails with its log if it ends before.
    pub fn until_so(&mut self, what: &str, mut ask: impl FnMut() -> bool) {
        until(&format!("{}: {what}", self.name), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            ask().then_some(())
        });
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGTERM, and waits until it has ended, cleanly.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running etcd, for clients on the first address and for other members on the second.
pub fn etcd(folder: &Path, addresses: [SocketAddr; 2]) -> Program {
    let [clients, peers] = addresses.map(|address| format!("http://{address}"));
    let mut program = Program::start("etcd", folder, |command| {
        command.args(["--data-dir", "etcd", "--listen-client-urls", &clients]);
        command.args(["--advertise-client-urls", &clients, "--listen-peer-urls", &peers]);
        command.args(["--initial-advertise-peer-urls", &peers, "--unsafe-no-fsync"]);
        command.args(["--initial-cluster", &format!("default={peers}")]);
    });
    let healthy = |answer: Answer| answer.body.contains("true");
    program.until_so("is healthy", || ask(addresses[0], "GET", "/health", "").is_ok_and(healthy));
    program
}

/// An address of this machine where nobody listens yet, for a program that can't tell which one it got. Any host of
/// 127.0.0.0/8 is this one; on one drawn at random, nobody else takes the port before the program does, or between
/// two of its runs.
pub fn free_address() -> SocketAddr {
    let host = Ipv4Addr::from(0x7f00_0000 | rand::random_range(0x1_0000..0xff_0000));
    TcpListener::bind((host, 0)).unwrap().local_addr().unwrap()
}

/// A file or folder of the repository.
pub fn shipped(path: &str) -> PathBuf {
    crate::root().join(path)
}
