//! A PostgreSQL server from Debian's packages: in a temporary folder, on a free port, as a user that is not root.

use crate::wait::until_found;
use parking_lot::Mutex;
use std::{
    io::Write as _,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
};
use tempfile::TempDir;

/// A running server; it stops with its owner, also if that is killed.
pub struct Server {
    folder: TempDir,
    pub port: u16,
    process: Mutex<Option<Child>>,
}

/// Debian keeps the programs out of the path.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name))).collect())
        .unwrap_or_default();
    versions.retain(|path| path.exists());
    versions.sort();
    versions.pop().unwrap_or_else(|| PathBuf::from(name))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// PostgreSQL refuses to run as root: `nobody` runs it then.
fn command(name: &str) -> Command {
    if !is_root() {
        return Command::new(program(name));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program(name));
    command
}

/// Runs a command to its end; returns what it wrote to stdout.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

impl Server {
    /// Whether there is one to start.
    pub fn is_installed() -> bool {
        command("initdb").arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Starts a new one with settings such as `fsync=off`.
    pub fn start(settings: &[&str]) -> Self {
        let server = Self::folder();
        run(command("initdb")
            .args(["-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync", "-D"])
            .arg(server.data()));
        server.launch(settings);
        server
    }

    /// A standby of `primary`, by streaming replication.
    pub fn standby_of(primary: &Self) -> Self {
        let server = Self::folder();
        let port = primary.port.to_string();
        run(command("pg_basebackup")
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "test", "-R", "-X", "stream", "-c", "fast", "-D"])
            .arg(server.data()));
        server.launch(&[]);
        server
    }

    fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::set_permissions(folder.path().join("data"), PermissionsExt::from_mode(0o700)).unwrap();
        if is_root() {
            chown(folder.path(), Some(65534), Some(65534)).unwrap();
            chown(folder.path().join("data"), Some(65534), Some(65534)).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { folder, port, process: Mutex::new(None) }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the server, again if it was stopped.
    pub fn launch(&self, settings: &[&str]) {
        let mut server = command("postgres");
        server.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        server
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-k"])
            .arg(self.folder.path());
        server.args(settings.iter().flat_map(|setting| ["-c", setting]));
        // The shell stops the server when its input ends, which is with this process, however that ends.
        let line: Vec<String> = std::iter::once(server.get_program())
            .chain(server.get_args())
            .map(|word| format!("'{}'", word.to_str().unwrap()))
            .collect();
        let script = format!(
            "{} 2>>'{}' & read -r word; kill -QUIT $!; wait; [ \"$word\" = keep ] || rm -rf '{}'",
            line.join(" "),
            self.log().display(),
            self.folder.path().display()
        );
        let child =
            Command::new("sh").arg("-c").arg(script).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        *self.process.lock() = Some(child.unwrap());
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let log = || std::fs::read_to_string(self.log()).unwrap_or_default();
        until_found("the server is ready", || if self.is_ready() { Ok(()) } else { Err(log()) });
    }

    pub fn is_ready(&self) -> bool {
        let mut probe = command("pg_isready");
        probe.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        probe.status().is_ok_and(|status| status.success())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Stops at once, as a crash does.
    pub fn stop(&self) {
        self.signal("-CONT");
        if let Some(mut process) = self.process.lock().take() {
            let _ = process.stdin.take().map(|mut input| input.write_all(b"keep\n"));
            let _ = process.wait();
        }
    }

    /// Freezes or resumes every process of the server: first the one that starts the others, so that none is missed.
    pub fn signal(&self, signal: &str) {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let Some(first) = file.lines().next() else { return };
        let kill = |processes: &[&str]| {
            let _ = Command::new("kill").arg(signal).args(processes).stderr(Stdio::null()).status();
        };
        let frozen = || {
            let state = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap_or_default();
            state.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        };
        kill(&[first]);
        while signal == "-STOP" && !frozen() {
            std::thread::yield_now();
        }
        let children =
            std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap_or_default();
        kill(&children.split_whitespace().collect::<Vec<_>>());
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        run(command("pg_ctl").arg("promote").arg("-D").arg(self.data()));
    }

    /// Runs statements as one transaction; returns the rows as `psql -At` prints them.
    pub fn execute(&self, database: &str, sql: &str) -> String {
        run(command("psql").arg(self.url(database)).args(["-v", "ON_ERROR_STOP=1", "-qAtc", sql]))
    }

    /// The address of a database, for `store.url`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://test@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The server that the tests of this process share. It ends with the process, and takes its folder along.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| Server::start(&[]))
}
