//! Three instances of the ePRO service with the same reports, each in a file of its own, and the trial
//! management service before them; and callers of that, which note what they were answered.

use super::prelude::*;
use parking_lot::Mutex;
use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub const INSTANCES: usize = 3;
/// Patients who have a report: `p-0` and on.
pub const PATIENTS: usize = 20;

pub fn path(patient: usize) -> String {
    format!("/api/v1/patients/p-{patient}/latest-report")
}

/// The services, until it is dropped.
pub struct Fleet {
    sites: Vec<Site>,
    instances: Vec<Option<Service>>,
    /// Kept, as it has the files.
    _site: Site,
    pub ctms: Service,
}

impl Fleet {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// With these settings of all services.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let seed = seeded();
        let set = |site: &mut Site| settings.iter().for_each(|(key, value)| site.set(key, value));
        let start = |_| {
            let mut site = Site::new();
            set(&mut site);
            copy_store(&seed, &site);
            let service = site.start();
            // After a kill it is to be found where it was.
            site.set("APP_GRPC__LISTEN", &service.grpc.to_string());
            (site, Some(service))
        };
        let (sites, instances): (Vec<_>, Vec<_>) = (0..INSTANCES).map(start).unzip();
        let addresses: Vec<_> = instances.iter().flatten().map(|one| one.grpc).collect();
        let mut site = Site::ctms_before(&addresses);
        set(&mut site);
        let ctms = site.start();
        let fleet = Self { sites, instances, _site: site, ctms };
        fleet.until_all_called();
        fleet
    }

    pub fn instance(&self, number: usize) -> &Service {
        self.instances[number].as_ref().unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self, number: usize) {
        self.instances[number].take().unwrap().kill();
    }

    /// On the same port and file, once it is ready.
    pub fn start_again(&mut self, number: usize) {
        self.instances[number] = Some(self.sites[number].start());
    }

    /// How many calls a running instance has answered.
    pub fn calls(&self, number: usize) -> u64 {
        calls(self.instance(number))
    }

    pub fn ask(&self, patient: usize) -> Answer {
        self.ctms.ask("GET", &path(patient), "")
    }

    /// Asks until each instance has answered: all are known to be healthy then.
    pub fn until_all_called(&self) {
        until_so("every instance is called", || {
            assert!(matches!(self.ask(0).status, 200 | 503));
            (0..INSTANCES).all(|number| self.calls(number) > 0)
        });
    }
}

/// How many calls for reports this instance has answered.
pub fn calls(instance: &Service) -> u64 {
    let labels = [("grpc_method", "GetLatestReport"), ("side", "server")];
    instance.metrics().sum("grpc_request_duration_seconds_count", &labels)
}

/// A store with the reports, at rest.
fn seeded() -> Site {
    let site = Site::new();
    let service = site.start();
    for patient in 0..PATIENTS {
        let report = format!(r#"{{"patientId":"p-{patient}","content":"report of {patient}"}}"#);
        let answer = service.ask("POST", REPORTS, &report);
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    service.stop();
    site
}

fn copy_store(from: &Site, to: &Site) {
    for end in ["", "-wal"] {
        let file = |site: &Site| format!("{}{end}", site.store().display());
        if fs::exists(file(from)).unwrap() {
            fs::copy(file(from), file(to)).unwrap();
        }
    }
}

/// One question of a caller.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub at: Instant,
    pub took: Duration,
    pub status: u16,
    pub stale: bool,
}

/// Callers at work: each asks anew after a pause. They begin one after the other within it, so that many with a
/// long one ask as evenly as strangers do, also while those before them wait.
pub struct Callers {
    stop: Arc<AtomicBool>,
    asked: Arc<Mutex<Vec<Asked>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Callers {
    pub fn start(ctms: SocketAddr, callers: usize, pause: Duration) -> Self {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let run = |caller: usize| {
            let (stop, asked): (_, Arc<Mutex<Vec<Asked>>>) = (Arc::clone(&stop), Arc::clone(&asked));
            thread::spawn(move || {
                thread::sleep(pause * caller as u32 / callers as u32);
                let mut connection = Connection::open(ctms).unwrap();
                for turn in caller.. {
                    if stop.load(SeqCst) {
                        return;
                    }
                    let at = Instant::now();
                    let answer = connection.send("GET", &path(turn % PATIENTS), "").unwrap();
                    let stale = answer.header("age").is_some();
                    asked.lock().push(Asked { at, took: at.elapsed(), status: answer.status, stale });
                    if !pause.is_zero() {
                        thread::sleep(pause);
                    }
                }
            })
        };
        let threads = (0..callers).map(run).collect();
        Self { stop, asked, threads }
    }

    /// What was asked so far, oldest first.
    pub fn so_far(&self) -> Vec<Asked> {
        self.asked.lock().clone()
    }

    /// Ends them; returns all that was asked.
    pub fn finish(self) -> Vec<Asked> {
        self.stop.store(true, SeqCst);
        self.threads.into_iter().for_each(|caller| caller.join().unwrap());
        self.asked.lock().clone()
    }
}
