//! What all scenarios share: the options, the folder on a real disk, the sink, and stores filled once.

use std::cell::Cell;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::child::{Child, Environment};
use crate::http;
use crate::load::{Asks, Load};
use crate::machine::{in_memory, resident};
use crate::options::Options;
use crate::service::{Delivery, Mode, Service, Telemetry};
use crate::{Result, servers};

/// The accept call that every peer serves.
pub const ROUTE: &str = "/api/v1/notifications/sms/async";
pub const BODY: &str = concat!(
    r#"{"patientId":"p-000001","message":"Please fill in today's questionnaire before nine in the evening; "#,
    r#"it takes about five minutes. Thank you."}"#
);
/// Connections of the load that fills a store: the more wait, the larger the commits.
const FILLERS: usize = 256;

/// Where results and what is built for the bench lie: `bench` in the target folder.
pub fn target() -> PathBuf {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("bench")
}

pub struct Bench {
    pub options: Options,
    /// Where spans go.
    pub sink: Sink,
    /// A gateway that never answers: the kernel takes the connection, and nobody reads it.
    pub black_hole: TcpListener,
    /// How the last store was filled.
    pub filling: Cell<Option<Filling>>,
    folder: TempDir,
}

/// A collector that counts the spans that it is sent.
pub struct Sink {
    _child: Child,
    pub address: SocketAddr,
}

impl Sink {
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Self> {
        let (child, address) = Child::own(servers::SINK, &Environment::new())?;
        Ok(Self { _child: child, address })
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many spans came so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn spans(&self) -> Result<u64> {
        Ok(http::call(self.address, "GET", "/spans", "")?.1.parse()?)
    }
}

/// How a store was filled through the API, by a service without telemetry.
#[derive(Clone, Copy)]
pub struct Filling {
    /// Jobs a second.
    pub rate: f64,
    /// Resident memory of the service at the end, in bytes.
    pub resident: u64,
}

impl Bench {
    /// # Errors
    /// When a server does not start, or `target` lies in memory, where a sync costs nothing.
    pub fn new(options: Options) -> Result<Self> {
        let folder = TempDir::with_prefix_in("ratios-", env!("CARGO_TARGET_TMPDIR"))?;
        if in_memory(folder.path())? {
            return Err("the target folder is in memory: durable figures need a disk".into());
        }
        let sink = Sink::start()?;
        let black_hole = TcpListener::bind(("127.0.0.1", 0))?;
        Ok(Self { options, sink, black_hole, filling: Cell::new(None), folder })
    }

    /// The request of the accept call, as its bytes.
    pub fn request() -> Vec<u8> {
        http::request("POST", ROUTE, BODY)
    }

    /// An empty folder for a store.
    ///
    /// # Errors
    /// Of the file system.
    pub fn empty(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::create_dir(&path)?;
        Ok(path)
    }

    /// A folder with a copy of a store that holds `jobs` accepted jobs. The first call for a number fills it
    /// through the API, the service's telemetry off.
    ///
    /// # Errors
    /// When the service can't be started, filled or stopped.
    pub fn filled(&self, name: &str, jobs: u64) -> Result<PathBuf> {
        let original = self.folder.path().join(format!("filled-{jobs}"));
        if !original.exists() {
            let folder = self.empty("filling")?;
            self.fill(&folder, jobs)?;
            fs::rename(folder, &original)?;
        }
        let copy = self.empty(name)?;
        copy_files(&original, &copy)?;
        Ok(copy)
    }

    fn fill(&self, folder: &Path, jobs: u64) -> Result<()> {
        let service =
            Service::start(self, Mode { telemetry: Telemetry::Off, delivery: Delivery::Held }, folder)?;
        let mut load = Load::open(service.http, FILLERS, Self::request())?;
        let outcome = load.run(Duration::from_secs(600), jobs)?;
        if outcome.answered != jobs {
            return Err(format!("{} of {jobs} jobs were accepted while filling", outcome.answered).into());
        }
        let rate = outcome.answered as f64 / outcome.elapsed.as_secs_f64();
        let resident = resident(service.child.pid())?;
        self.filling.set(Some(Filling { rate, resident }));
        eprintln!("  filled a store with {jobs} jobs through the API: {rate:.0}/s, {FILLERS} connections");
        service.stop()
    }
}

/// Copies the files of a folder and waits until they are on the disk, so that later syncs don't pay for them.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        fs::File::open(&copy)?.sync_all()?;
    }
    Ok(())
}
