//! A real collector on the shipped configuration, and what is sent to it.

use crate::program::{Program, free_address, shipped};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

pub const CONFIG: &str = "deploy/otel-collector/config.yaml";
/// How long a trace's spans are waited for in tests.
pub const DECISION_WAIT: Duration = Duration::from_secs(1);

/// What outlives a run: addresses, and folders of lines and of what is spooled.
pub struct Site {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
    /// Laid over the shipped configuration.
    over: Option<&'static str>,
    grpc: SocketAddr,
    http: SocketAddr,
    health: SocketAddr,
    metrics: SocketAddr,
}

impl Site {
    /// A collector that sends spans and lines to these addresses.
    pub fn new(jaeger: SocketAddr, loki: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [grpc, http, health, metrics] = std::array::from_fn(|_| free_address());
        let inside = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        fs::create_dir(folder.path().join("containers")).unwrap();
        let variables = vec![
            ("OTLP_GRPC_LISTEN", grpc.to_string()),
            ("OTLP_HTTP_LISTEN", http.to_string()),
            ("HEALTH_LISTEN", health.to_string()),
            ("METRICS_HOST", metrics.ip().to_string()),
            ("METRICS_PORT", metrics.port().to_string()),
            ("JAEGER_ENDPOINT", jaeger.to_string()),
            ("LOKI_ENDPOINT", format!("http://{loki}/otlp")),
            ("LOG_FILES", inside("containers/*-json.log")),
            ("SPOOL_FOLDER", inside("spool")),
            ("TRACE_DECISION_WAIT", format!("{}s", DECISION_WAIT.as_secs())),
        ];
        Self { folder, variables, over: None, grpc, http, health, metrics }
    }

    /// For a backend in this process, which knows no gzip: spans are sent as they are.
    pub fn unpacked(mut self) -> Self {
        self.over = Some("yaml:exporters::otlp_grpc/jaeger::compression: none");
        self
    }

    /// The same with another variable.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Where it takes spans over gRPC.
    pub fn grpc(&self) -> SocketAddr {
        self.grpc
    }

    /// The folder in which Docker would keep lines.
    pub fn containers(&self) -> PathBuf {
        self.folder.path().join("containers")
    }

    /// Starts it, and waits until it says that it is well.
    pub fn start(&self) -> Collector {
        let mut program = Program::start("otelcol", self.folder.path(), |command| {
            self.arrange(command);
        });
        program.until_so("is well", || {
            chassis_test::ask(self.health, "GET", "/", "").is_ok_and(|answer| answer.status == 200)
        });
        Collector { program, http: self.http, metrics: self.metrics }
    }

    fn arrange(&self, command: &mut Command) {
        command.envs(self.variables.iter().cloned()).arg("--config").arg(shipped(CONFIG));
        self.over.iter().for_each(|over| {
            command.args(["--config", over]);
        });
    }
}

/// A running one.
pub struct Collector {
    program: Program,
    http: SocketAddr,
    metrics: SocketAddr,
}

impl Collector {
    /// Sends these spans of one resource, and has them taken.
    pub fn send(&self, spans: &[Value]) {
        let attributes =
            [attribute("service.name", "epro-notify"), attribute("patient.name", "canary-resource")];
        let body = json!({"resourceSpans": [{"resource": {"attributes": attributes},
            "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]});
        let answer = chassis_test::ask(self.http, "POST", "/v1/traces", &body.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}\n{}", self.program.log());
    }

    /// The value of one of its own metrics, summed over labels; 0 for one that is not there yet.
    pub fn count(&self, name: &str) -> f64 {
        // By HTTP/1.0, so that the page comes in one piece.
        let mut connection = TcpStream::connect(self.metrics).unwrap();
        connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        connection.read_to_string(&mut page).unwrap();
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// SIGTERM.
    pub fn stop(self) {
        self.program.stop();
    }
}

pub fn attribute(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// A span without a parent, which ends now: `kind` and `status` as OTLP numbers them.
pub fn span(trace: u128, took: Duration, kind: u8, status: u8) -> Value {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    json!({"traceId": format!("{trace:032x}"), "spanId": format!("{:016x}", rand::random::<u64>() | 1),
        "name": "GET /api/v1/patients/{patientId}", "kind": kind, "status": {"code": status},
        "startTimeUnixNano": (end - took).as_nanos().to_string(),
        "endTimeUnixNano": end.as_nanos().to_string()})
}

/// OTLP's numbers.
pub const INTERNAL: u8 = 1;
pub const SERVER: u8 = 2;
pub const UNSET: u8 = 0;
pub const ERROR: u8 = 2;

/// Runs a program to its end in the repository, and gives what it said.
pub fn judged(mut command: Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    crate::need(&name);
    let output = command.current_dir(crate::root()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(said.into_owned()) } else { Err(said.into_owned()) }
}
