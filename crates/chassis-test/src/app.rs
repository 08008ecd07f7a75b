//! A real program as a process, started as often as a test likes on the same files.

use crate::{
    client::{Answer, ask, ask_with},
    held::Held,
    metrics::Page,
    wait::{PATIENCE, until, until_so},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
};
use tempfile::TempDir;

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A program, its settings and a temporary folder of its own, which is also where it runs.
pub struct TestApp {
    program: PathBuf,
    /// What the names of its variables begin with.
    prefix: &'static str,
    folder: Arc<TempDir>,
    settings: BTreeMap<String, String>,
    /// A program and its arguments that start this one, such as a tracer; empty by default.
    pub under: Vec<OsString>,
    runs: Cell<usize>,
}

impl TestApp {
    /// HTTP and admin listen on free ports, which the `ready` line names, and nobody is limited. The names of the
    /// program's variables begin with `prefix`, as `APP_`.
    pub fn new(program: impl Into<PathBuf>, prefix: &'static str) -> Self {
        let mut app = Self {
            program: program.into(),
            prefix,
            folder: Arc::new(tempfile::tempdir().unwrap()),
            settings: BTreeMap::new(),
            under: Vec::new(),
            runs: Cell::new(0),
        };
        for (key, value) in [
            ("HTTP__LISTEN", "127.0.0.1:0"),
            ("ADMIN__LISTEN", "127.0.0.1:0"),
            ("LIMITS__PER_CLIENT__RATE", "1000000"),
            ("LIMITS__PER_CLIENT__BURST", "1000000"),
        ] {
            app.set_own(key, value);
        }
        app
    }

    /// Sets a variable of the program's configuration.
    fn set_own(&mut self, key: &str, value: &str) {
        self.set(&format!("{}{key}", self.prefix), value);
    }

    /// Keeps an SQLite store in the folder, see [`Self::store`].
    pub fn with_store(mut self) -> Self {
        self.set_own("STORE__URL", &format!("sqlite://{}", self.store().display()));
        self
    }

    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set(key, value);
        self
    }

    /// Sets an environment variable for the starts from here on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// Leaves a variable out.
    pub fn without(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of the folder and returns its path as text.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder().join(name);
        fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    pub fn store(&self) -> PathBuf {
        self.folder().join("store.db")
    }

    /// Starts the program and waits until it is ready.
    pub fn start(&self) -> Running {
        let mut running = self.spawn();
        running.wait_until_ready();
        running
    }

    /// Starts a program that may write no line: it gets its addresses instead of reporting them.
    pub fn start_quietly(&mut self) -> Running {
        let [http, admin] = [Held::new(), Held::new()];
        self.set_own("HTTP__LISTEN", &http.address.to_string());
        self.set_own("ADMIN__LISTEN", &admin.address.to_string());
        let mut running = self.spawn();
        (running.http, running.admin) = (http.address, admin.address);
        until_so("readiness", || running.readiness().0);
        running
    }

    /// Starts the program, which may well not become ready.
    pub fn spawn(&self) -> Running {
        self.runs.set(self.runs.get() + 1);
        let file = |name: &str| {
            let path = self.folder().join(format!("{name}-{}", self.runs.get()));
            let file = File::options().create(true).append(true).open(&path).unwrap();
            (path, file)
        };
        let ((output, stdout), (errors, stderr)) = (file("output"), file("errors"));
        let mut command = self.command();
        let spawned = command.stdout(stdout).stderr(stderr).spawn();
        let child = spawned.unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let (http, grpc, admin) = (NOWHERE, NOWHERE, NOWHERE);
        Running { child, output, errors, http, grpc, admin, _folder: Arc::clone(&self.folder) }
    }

    /// Runs another command of the program to its end; one that never ends is killed.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command();
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let id = Pid::from_child(&child);
        let (ended, waits) = sync_channel::<()>(0);
        thread::spawn(move || {
            if waits.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = kill_process(id, Signal::KILL);
            }
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        output
    }

    /// Runs a command that has to end with 64, and returns the lines on stderr; nothing is on stdout.
    pub fn faults(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned).collect()
    }

    /// The command that starts the program, with these settings and no other variables but `PATH`.
    pub fn command(&self) -> Command {
        let mut words = self.under.iter().cloned().chain([self.program.clone().into()]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.settings)
            .current_dir(self.folder())
            .stdin(Stdio::null());
        command
    }
}

/// A running program. Dropping it kills it.
pub struct Running {
    child: Child,
    output: PathBuf,
    errors: PathBuf,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    /// The files outlive the program, also where the [`TestApp`] does not.
    _folder: Arc<TempDir>,
}

impl Running {
    fn wait_until_ready(&mut self) {
        let ready = until("the program is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the program ended with {status}:\n{}", self.output());
            }
            self.lines().into_iter().find(|line| line["message"] == "ready")
        });
        let address = |name: &str| ready["fields"][name].as_str().map_or(NOWHERE, |at| at.parse().unwrap());
        (self.http, self.grpc, self.admin) = (address("http"), address("grpc"), address("admin"));
        until_so("readiness", || self.readiness().0);
    }

    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(self.http, method, path, body).unwrap()
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub fn ask_with(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        ask_with(self.http, method, path, headers, body)
    }

    /// Asks the admin listener.
    pub fn admin(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(self.admin, method, path, body).unwrap()
    }

    /// The page of metrics as plain text.
    pub fn metrics(&self) -> Page {
        let answer = self.admin("GET", "/metrics", "");
        assert_eq!(answer.status, 200, "{answer:?}");
        Page::text(&answer.body)
    }

    /// Whether `/readyz` answers 200, and the answer's body.
    pub fn readiness(&self) -> (bool, String) {
        match ask(self.admin, "GET", "/readyz", "") {
            Ok(answer) => (answer.status == 200, answer.body),
            Err(error) => (false, error.to_string()),
        }
    }

    /// The process id, also where another program started this one.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Memory that the process holds, in bytes.
    pub fn resident(&self) -> u64 {
        resident(self.id())
    }

    /// Everything written to stdout and stderr so far.
    pub fn output(&self) -> String {
        text(&self.output) + &text(&self.errors)
    }

    /// The complete log lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for at least `count` lines with this message and returns them: a line is written some milliseconds
    /// after the event.
    pub fn told(&self, message: &str, count: usize) -> Vec<Value> {
        until(&format!("{count} lines {message:?}"), || {
            let told = self.lines().into_iter().filter(|line| line["message"] == message);
            Some(told.collect::<Vec<_>>()).filter(|told| told.len() >= count)
        })
    }

    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(id.unwrap(), signal).unwrap();
    }

    /// SIGKILL; returns once the process is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as an operator does.
    pub fn stop(self) {
        self.stop_and_read();
    }

    /// Stops it and returns everything that it ever wrote: what is not there was not written.
    pub fn stop_and_read(self) -> String {
        self.signal(Signal::TERM);
        let (code, output) = self.ended();
        assert_eq!(code, 0, "{output}");
        output
    }

    /// Waits for the end and returns the exit code and all output.
    pub fn ended(self) -> (i32, String) {
        let (code, stdout, stderr) = self.ended_with();
        (code, stdout + &stderr)
    }

    /// The same with stdout and stderr apart.
    pub fn ended_with(mut self) -> (i32, String, String) {
        let status = until("the program ends", || self.child.try_wait().unwrap());
        let code = status.code().unwrap_or_else(|| panic!("ended with {status}:\n{}", self.output()));
        (code, text(&self.output), text(&self.errors))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Memory that a process holds, in bytes.
pub fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse::<u64>().unwrap() * 1024
}

/// A file that may not be there yet, as text.
fn text(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
