//! The real service as a child: how it is configured for a measurement, and what it says of itself.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::bench::Bench;
use crate::child::{Child, Environment};
use crate::http::{KEY, call};
use crate::{Result, account, ceiling};

const PROGRAM: &str = env!("CARGO_BIN_EXE_epro-notify");
/// tokio's own setting.
const THREADS: &str = "TOKIO_WORKER_THREADS";
const START_DEADLINE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy)]
pub struct Mode {
    pub telemetry: Telemetry,
    pub delivery: Delivery,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Telemetry {
    /// Every span sampled and exported, every line written.
    On,
    /// Neither spans nor lines; metrics are always there.
    Off,
    /// Spans, and no lines.
    Spans,
}

#[derive(Clone, Copy)]
pub enum Delivery {
    /// One worker and a gateway that never answers.
    Held,
    /// The provider that does nothing but say so, with workers in plenty.
    Console,
    /// A gateway, with the default number of workers.
    Http(SocketAddr),
    /// A gateway, with as many workers as the bare loop of calls has callers.
    HttpInPlenty(SocketAddr),
}

pub struct Service {
    pub child: Child,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    pub admin: SocketAddr,
    /// From its start until it said that it was ready.
    pub ready_after: Duration,
}

impl Service {
    /// Starts the service on the store in `folder` and waits until it is ready.
    ///
    /// # Errors
    /// When it ends, or is not ready within a minute.
    pub fn start(bench: &Bench, mode: Mode, folder: &Path) -> Result<Self> {
        Self::begin(bench, mode, folder)?.once_ready()
    }

    /// The same with this environment on top.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(
        bench: &Bench,
        mode: Mode,
        folder: &Path,
        further: &[(&'static str, String)],
    ) -> Result<Self> {
        let mut environment = environment(bench, mode);
        environment.extend(further.iter().cloned());
        Self::begin_in(folder, environment)?.once_ready()
    }

    fn once_ready(mut self) -> Result<Self> {
        self.wait_ready()?;
        // Only `console` needs no contact.
        let patient = r#"{"phone":"+8613800138000"}"#;
        match call(self.http, "PUT", "/api/v1/patients/p-000001", patient)? {
            (200..300, _) => Ok(self),
            (status, body) => Err(format!("the patient was refused: {status} {body}").into()),
        }
    }

    /// Starts it without waiting.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn begin(bench: &Bench, mode: Mode, folder: &Path) -> Result<Self> {
        Self::begin_in(folder, environment(bench, mode))
    }

    fn begin_in(folder: &Path, mut environment: Environment) -> Result<Self> {
        let [http, grpc, admin] = free_addresses()?;
        environment.insert("APP_HTTP__LISTEN", http.to_string());
        environment.insert("APP_GRPC__LISTEN", grpc.to_string());
        environment.insert("APP_ADMIN__LISTEN", admin.to_string());
        let file = || format!("sqlite://{}/notify.db", folder.display());
        environment.entry("APP_STORE__URL").or_insert_with(file);
        environment.insert("APP_AUTH__API_KEYS_FILE", key_file(folder)?);
        let child = Child::start("epro-notify", Path::new(PROGRAM), &[], &environment)?;
        Ok(Self { child, http, grpc, admin, ready_after: Duration::ZERO })
    }

    fn wait_ready(&mut self) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_DEADLINE {
            if matches!(call(self.admin, "GET", "/readyz", ""), Ok((200, _))) {
                self.ready_after = started.elapsed();
                return Ok(());
            }
            self.child.still_runs()?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Err("epro-notify was not ready within a minute".into())
    }

    /// Its metrics as Prometheus text.
    ///
    /// # Errors
    /// When the admin listener does not answer.
    pub fn metrics(&self) -> Result<String> {
        match call(self.admin, "GET", "/metrics", "")? {
            (200, text) => Ok(text),
            (status, _) => Err(format!("/metrics answered {status}").into()),
        }
    }

    /// Jobs delivered since it was started.
    ///
    /// # Errors
    /// As [`Self::metrics`].
    pub fn delivered(&self) -> Result<u64> {
        let text = self.metrics()?;
        let value = account::value(&text, "notification_finished_total", &[("outcome", "delivered")]);
        Ok(value.unwrap_or(0.0) as u64)
    }

    /// # Errors
    /// When it does not stop cleanly.
    pub fn stop(self) -> Result<()> {
        self.child.stop()
    }
}

fn environment(bench: &Bench, mode: Mode) -> Environment {
    let mut environment = common(bench, mode.telemetry);
    environment.insert("APP_QUEUE__MAX_BACKLOG", "10000000".to_owned());
    let gateway = match mode.delivery {
        Delivery::Console => {
            // A provider that takes no time is a matter of batches: as large as those of the ceiling.
            environment.insert("APP_QUEUE__WORKERS", ceiling::BATCH.to_string());
            return environment;
        }
        Delivery::Http(gateway) => Some(gateway),
        Delivery::HttpInPlenty(gateway) => {
            environment.insert("APP_QUEUE__WORKERS", ceiling::CALLERS.to_string());
            Some(gateway)
        }
        Delivery::Held => {
            environment.insert("APP_QUEUE__WORKERS", "1".to_owned());
            bench.black_hole.local_addr().ok()
        }
    };
    if let Some(gateway) = gateway {
        environment.insert("APP_SMS__PROVIDER", "http".to_owned());
        environment.insert("APP_SMS__HTTP__URL", format!("http://{gateway}/"));
    }
    environment
}

/// What the bench sets of every program with the service's telemetry and limits.
pub fn common(bench: &Bench, telemetry: Telemetry) -> Environment {
    let mut environment = Environment::from([
        ("APP_LIMITS__PER_CLIENT__RATE", "1000000".to_owned()),
        ("APP_LIMITS__PER_CLIENT__BURST", "1000000".to_owned()),
        ("RUST_LOG", if telemetry == Telemetry::On { "info" } else { "off" }.to_owned()),
    ]);
    // The number that the bench was started with, if any.
    if let Ok(threads) = std::env::var(THREADS) {
        environment.insert(THREADS, threads);
    }
    match telemetry {
        Telemetry::Off => environment.insert("OTEL_SDK_DISABLED", "true".to_owned()),
        _ => {
            // As it is deployed.
            environment.insert("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf".to_owned());
            environment.insert("OTEL_EXPORTER_OTLP_ENDPOINT", bench.sink.endpoint())
        }
    };
    environment
}

/// A file with the bench's key in `folder`, as a setting.
///
/// # Errors
/// Of the file system.
pub fn key_file(folder: &Path) -> Result<String> {
    let file = folder.join("keys");
    let digest = HEXLOWER.encode(&Sha256::digest(KEY));
    std::fs::write(&file, format!("bench:send,read,operate:{digest}\n"))?;
    Ok(file.display().to_string())
}

/// Addresses that nobody listened on a moment ago.
pub fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let listeners: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<_>>()?;
    let addresses: Vec<SocketAddr> =
        listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<_>>()?;
    addresses.try_into().map_err(|_| "too few addresses".into())
}
