//! The real binary in a temporary folder on free ports, and a small HTTP client for it.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// A running service. Dropping it leaves no process and no file.
pub struct Service {
    child: Child,
    pub http: SocketAddr,
    pub admin: SocketAddr,
    folder: tempfile::TempDir,
}

impl Service {
    pub fn start() -> Self {
        Self::spawn(&[], "")
    }

    /// Under strace, which writes every read, write and sync to [`Service::stop_traced`]'s text.
    /// `query` is put behind the store's URL.
    pub fn start_traced(query: &str) -> Self {
        // `-D` makes the service our child and strace a bystander, so that signals and exit codes are the service's.
        let calls = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,fsync,fdatasync";
        Self::spawn(&["strace", "-D", "-f", "-yy", "-s", "32", "-e", calls, "-e", "signal=none", "-o"], query)
    }

    fn spawn(tracer: &[&str], query: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [http, admin, grpc] = free_addresses();
        let binary = env!("CARGO_BIN_EXE_epro-notify");
        let mut command = match tracer {
            [] => Command::new(binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(folder.path().join("trace")).arg(binary);
                command
            }
        };
        let store = format!("sqlite://{}{query}", folder.path().join("store.db").display());
        let output = File::create(folder.path().join("output")).unwrap();
        let child = command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("APP_HTTP__LISTEN", http.to_string())
            .env("APP_ADMIN__LISTEN", admin.to_string())
            .env("APP_GRPC__LISTEN", grpc.to_string())
            .env("APP_STORE__URL", store)
            .current_dir(folder.path())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {:?}: {error}", command.get_program()));
        let mut service = Self { child, http, admin, folder };
        service.wait_until_ready();
        service
    }

    fn wait_until_ready(&mut self) {
        let admin = self.admin;
        let ready = || {
            Connection::open(admin)
                .and_then(|mut to| to.send("GET", "/readyz", ""))
                .is_ok_and(|(status, _)| status == 200)
        };
        let ended = within(PATIENCE, || ready() || matches!(self.child.try_wait(), Ok(Some(_))));
        assert!(ended && ready(), "the service did not become ready:\n{}", self.read("output"));
    }

    /// Stops it as an operator does, and returns the trace.
    pub fn stop_traced(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        assert!(within(PATIENCE, || matches!(self.child.try_wait(), Ok(Some(_)))), "SIGTERM did not stop it");
        let status = self.child.wait().unwrap();
        assert!(status.success(), "ended with {status}:\n{}", self.read("output"));
        assert!(within(PATIENCE, || self.trace_is_whole()), "strace did not finish its trace");
        self.read("trace")
    }

    /// The main thread's end is the last line that strace writes.
    fn trace_is_whole(&self) -> bool {
        let main = self.child.id().to_string();
        let is_end =
            |line: &str| line.split_whitespace().next() == Some(&main) && line.ends_with("exited with 0 +++");
        self.read("trace").lines().any(is_end)
    }

    fn read(&self, name: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another process's state can't be awaited, only asked for.
fn within(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    while started.elapsed() < limit {
        if is_so() {
            return true;
        }
        thread::sleep(Duration::from_millis(20));
    }
    false
}

/// Addresses that nobody listens on; held together, so that they differ.
fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.each_ref().map(|listener| listener.local_addr().unwrap())
}

/// A keep-alive connection that sends one request at a time.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The status and the body. Bodies without a length are not understood.
    pub fn send(&mut self, method: &str, path: &str, body: &str) -> std::io::Result<(u16, String)> {
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n");
        self.0
            .get_mut()
            .write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| std::io::Error::other(format!("no status in {line:?}")))?;
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut answer = vec![0; length];
        self.0.read_exact(&mut answer)?;
        Ok((status, String::from_utf8_lossy(&answer).into_owned()))
    }
}

/// Fails with what to do about it when a program is not there.
pub fn need(program: &str) {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| Path::new(&folder).join(program).is_file());
    assert!(found, "{program} is not on the PATH: `cargo xtask test --install` fetches it");
}
