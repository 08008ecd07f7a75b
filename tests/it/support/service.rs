//! The real program as a process, started as often as a test likes on the same files.

use super::{
    client::{Answer, ask},
    metrics_page::{Ledger, MetricsPage},
    said::text,
    sms_gateway::Gateway,
    wait::{until, until_so},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    cell::Cell,
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tempfile::TempDir;

const NOTIFY: &str = env!("CARGO_BIN_EXE_epro-notify");
const CTMS: &str = env!("CARGO_BIN_EXE_ctms");
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// The patient that tests write to.
pub const PATIENT: &str = r#"{"phone":"+4930901820"}"#;
/// What they write.
pub const MESSAGE: &str = r#"{"patientId":"p-1","message":"a reminder"}"#;
pub const ASYNC: &str = "/api/v1/notifications/sms/async";
pub const SYNC: &str = "/api/v1/notifications/sms";

/// A folder for the files, and the settings.
pub struct Site {
    program: &'static str,
    folder: Arc<TempDir>,
    /// Where the store is, if not in the folder.
    pub store_folder: Option<PathBuf>,
    settings: BTreeMap<String, String>,
    /// The program and its arguments that the service is started by, as a tracer; none by default.
    pub under: Vec<OsString>,
    runs: Cell<usize>,
}

impl Site {
    /// Delivering to the console.
    pub fn new() -> Self {
        Self::of(NOTIFY).with("APP_GRPC__LISTEN", "127.0.0.1:0")
    }

    /// The second service, calling this target.
    pub fn ctms(target: &str) -> Self {
        Self::of(CTMS).with("APP_EPRO__TARGET", target)
    }

    fn of(program: &'static str) -> Self {
        let settings = [
            // Free ports, which its first lines name.
            ("APP_HTTP__LISTEN", "127.0.0.1:0"),
            ("APP_ADMIN__LISTEN", "127.0.0.1:0"),
            ("APP_LIMITS__PER_CLIENT__RATE", "1000000"),
            ("APP_LIMITS__PER_CLIENT__BURST", "1000000"),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self { program, folder, store_folder: None, settings, under: Vec::new(), runs: Cell::new(0) }
    }

    /// Delivering SMS to this gateway, and retrying soon.
    pub fn sending_to(gateway: &Gateway) -> Self {
        Self::new()
            .with("APP_SMS__PROVIDER", "http")
            .with("APP_SMS__HTTP__URL", &gateway.url())
            .with("APP_RETRY__BASE_DELAY", "20ms")
            .with("APP_RETRY__MAX_DELAY", "200ms")
    }

    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.set(key, value);
        self
    }

    /// For the starts from here on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn store(&self) -> PathBuf {
        self.store_folder.as_deref().unwrap_or(self.folder()).join("store.db")
    }

    fn store_url(&self) -> String {
        format!("sqlite://{}", self.store().display())
    }

    /// Starts the service and waits until it is ready.
    pub fn start(&self) -> Service {
        let mut service = self.spawn();
        service.wait_until_ready();
        service
    }

    /// The same with the patient of [`MESSAGE`] in the directory, whom only the first start needs.
    pub fn start_with_patient(&self) -> Service {
        let service = self.start();
        let answer = service.ask("PUT", "/api/v1/patients/p-1", PATIENT);
        assert!(matches!(answer.status, 200 | 201 | 204), "{answer:?}");
        service
    }

    /// Starts the service, which may well not become ready.
    pub fn spawn(&self) -> Service {
        self.runs.set(self.runs.get() + 1);
        let run = self.runs.get();
        let file = |name: &str| {
            let path = self.folder().join(format!("{name}-{run}"));
            let file = File::options().create(true).append(true).open(&path).unwrap();
            (path, file)
        };
        let ((output, stdout), (errors, stderr)) = (file("output"), file("errors"));
        let mut command = self.command();
        command.stdout(stdout).stderr(stderr);
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("can't start {:?}: {error}", command.get_program()));
        let (http, grpc, admin) = (NOWHERE, NOWHERE, NOWHERE);
        Service { child, output, errors, http, grpc, admin, _folder: Arc::clone(&self.folder) }
    }

    /// What starts the service; where it writes is the caller's matter.
    pub fn command(&self) -> Command {
        let mut words = self.under.iter().cloned().chain([self.program.into()]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs((self.program == NOTIFY).then(|| ("APP_STORE__URL", self.store_url())))
            .envs(&self.settings)
            .current_dir(self.folder())
            .stdin(Stdio::null());
        command
    }
}

/// A running service. Dropping it kills it; its files are the [`Site`]'s.
pub struct Service {
    child: Child,
    pub(super) output: PathBuf,
    pub(super) errors: PathBuf,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    /// Its files outlive it, also where the site does not.
    _folder: Arc<TempDir>,
}

impl Service {
    fn wait_until_ready(&mut self) {
        let ready = until("the service is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the service ended with {status}:\n{}", self.output());
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

    /// Submits [`MESSAGE`] and returns the id that was accepted.
    pub fn accept(&self) -> String {
        let answer = self.ask("POST", ASYNC, MESSAGE);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.text("id")
    }

    pub fn notification(&self, id: &str) -> Value {
        let answer = self.ask("GET", &format!("/api/v1/notifications/{id}"), "");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until the notification has this status, and returns it.
    pub fn until_status(&self, id: &str, status: &str) -> Value {
        until(&format!("{id} becomes {status}"), || {
            Some(self.notification(id)).filter(|shown| shown["status"] == status)
        })
    }

    /// Waits until this attempt outcome is in the notification's history.
    pub fn until_attempt(&self, id: &str, outcome: &str) -> Value {
        until(&format!("{id} has an attempt that ended {outcome}"), || {
            Some(self.notification(id)).filter(|shown| outcomes(shown).iter().any(|found| found == outcome))
        })
    }

    pub fn metrics(&self) -> MetricsPage {
        let answer = ask(self.admin, "GET", "/metrics", "").unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        MetricsPage(answer.body)
    }

    /// The ledger, which is exact whenever it is looked at.
    pub fn ledger(&self) -> Ledger {
        let ledger = self.metrics().ledger();
        ledger.assert_exact();
        ledger
    }

    /// Waits until nothing is queued any more.
    pub fn until_drained(&self) -> Ledger {
        until("an empty queue", || Some(self.ledger()).filter(|ledger| ledger.of("queued") == 0))
    }

    /// Whether it says that it is ready, and the whole answer.
    pub fn readiness(&self) -> (bool, String) {
        match ask(self.admin, "GET", "/readyz", "") {
            Ok(answer) => (answer.status == 200, answer.body),
            Err(error) => (false, error.to_string()),
        }
    }

    /// Of the process, which is the service itself also where it was started by another program.
    pub fn id(&self) -> u32 {
        self.child.id()
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

    /// Waits for its end, and returns the exit code and the output.
    pub fn ended(self) -> (i32, String) {
        let (code, stdout, stderr) = self.ended_with();
        (code, stdout + &stderr)
    }

    /// The same with stdout and stderr apart.
    pub fn ended_with(mut self) -> (i32, String, String) {
        let status = until("the service ends", || self.child.try_wait().unwrap());
        let code = status.code().unwrap_or_else(|| panic!("ended with {status}:\n{}", self.output()));
        (code, text(&self.output), text(&self.errors))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The outcomes of a shown notification's attempts, in order.
pub fn outcomes(shown: &Value) -> Vec<String> {
    let attempts = shown["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap().to_owned()).collect()
}
