//! Load that is offered at a rate, whatever becomes of it, and load that waits for its answers.

use crate::caller::{Answer, Caller, address};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Connections of each kind: more than are ever waiting.
const CONNECTIONS: u32 = 96;
/// Callers who wait for their answers: enough that none of the service's parts is ever idle.
const WORKERS: usize = 32;
/// Before a caller who was turned away comes again.
const PAUSE: Duration = Duration::from_millis(5);
const REPORT: &str = "/api/v1/reports";
const TEXT: &str =
    "今天早上体温38.5度，头痛（轻度）。Took 500 mg paracetamol at 07:10, and slept until noon. ";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Report,
    Preview,
    Bulk,
}

/// An answer, and how long after the time that it was due.
struct Heard {
    kind: Kind,
    status: u16,
    retry_after: Option<u64>,
    took: Duration,
}

/// Every answer of a run.
pub struct Tally(Vec<Heard>);

/// Load at a rate for each kind, a second.
pub struct Offered {
    service: SocketAddr,
    load: HashMap<Kind, f64>,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Report => "reports",
            Self::Preview => "previews",
            Self::Bulk => "bulk notifications",
        }
    }

    /// One call; `preview` is the path of a report's.
    async fn ask(self, caller: &mut Caller, preview: &str) -> std::io::Result<Answer> {
        match self {
            Self::Report => caller.ask("POST", REPORT, "", &report()).await,
            Self::Preview => caller.ask("GET", preview, "", "").await,
            Self::Bulk => {
                let body = r#"{"patientId":"p-1","message":"week 3","priority":"bulk"}"#;
                caller.ask("POST", "/api/v1/notifications/sms/async", "", body).await
            }
        }
    }
}

fn report() -> String {
    format!(r#"{{"patientId":"p-1","content":"{}"}}"#, TEXT.repeat(12))
}

/// The path of a new report's preview.
async fn preview(service: SocketAddr) -> String {
    let mut caller = Caller::open(service, address(0)).await.unwrap();
    let answer = Kind::Report.ask(&mut caller, "").await.unwrap();
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    format!("{REPORT}/{}/preview.pdf", told["reportId"].as_str().unwrap())
}

/// How many calls a second succeed when some callers make this mix one call after the other, each until it
/// succeeds: so it stays this mix.
pub async fn closed(service: SocketAddr, mix: &'static [(Kind, u32)], time: Duration) -> f64 {
    let path = Arc::new(preview(service).await);
    let (begun, mut workers) = (Instant::now(), JoinSet::new());
    for number in 0..WORKERS {
        let path = Arc::clone(&path);
        workers.spawn(async move {
            let mut caller = Caller::open(service, address(1)).await.unwrap();
            let calls = mix.iter().flat_map(|(kind, times)| (0..*times).map(|_| *kind));
            let mut succeeded = 0_u32;
            for kind in calls.collect::<Vec<_>>().into_iter().cycle().skip(number) {
                while begun.elapsed() < time && kind.ask(&mut caller, &path).await.unwrap().status >= 300 {
                    tokio::time::sleep(PAUSE).await;
                }
                if begun.elapsed() >= time {
                    break;
                }
                succeeded += 1;
            }
            succeeded
        });
    }
    let succeeded: u32 = workers.join_all().await.into_iter().sum();
    f64::from(succeeded) / begun.elapsed().as_secs_f64()
}

impl Offered {
    pub fn to(service: SocketAddr) -> Self {
        Self { service, load: HashMap::new() }
    }

    pub fn at(self, load: &[(Kind, f64)]) -> Self {
        Self { load: load.iter().copied().collect(), ..self }
    }

    /// Sends each call when it is due, late only if every connection still waits for an answer; that time
    /// counts as well.
    pub async fn run(self, time: Duration) -> Tally {
        let path = Arc::new(preview(self.service).await);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (begun, mut callers) = (Instant::now(), JoinSet::new());
        for (kind, rate) in self.load {
            let next = Arc::new(AtomicU32::new(0));
            let all = (rate * time.as_secs_f64()) as u32;
            for number in 0..CONNECTIONS {
                let (next, heard, path) = (Arc::clone(&next), Arc::clone(&heard), Arc::clone(&path));
                let mut caller = Caller::open(self.service, address(number)).await.unwrap();
                callers.spawn(async move {
                    loop {
                        let turn = next.fetch_add(1, Relaxed);
                        if turn >= all {
                            return;
                        }
                        let due = begun + Duration::from_secs_f64(f64::from(turn) / rate);
                        sleep_until(due).await;
                        let answer = kind.ask(&mut caller, &path).await.unwrap();
                        let (status, retry_after) = (answer.status, answer.retry_after);
                        heard.lock().push(Heard { kind, status, retry_after, took: due.elapsed() });
                    }
                });
            }
        }
        callers.join_all().await;
        Tally(std::mem::take(&mut heard.lock()))
    }
}

impl Tally {
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Heard> {
        self.0.iter().filter(move |heard| heard.kind == kind)
    }

    pub fn asked(&self, kind: Kind) -> usize {
        self.of(kind).count()
    }

    pub fn with(&self, kind: Kind, status: u16) -> usize {
        self.of(kind).filter(|heard| heard.status == status).count()
    }

    pub fn other_than(&self, kind: Kind, statuses: &[u16]) -> usize {
        self.of(kind).filter(|heard| !statuses.contains(&heard.status)).count()
    }

    pub fn refused_without_retry_after(&self) -> usize {
        let refused = self.0.iter().filter(|heard| heard.status == 503);
        refused.filter(|heard| heard.retry_after.is_none_or(|seconds| seconds == 0)).count()
    }

    pub fn took(&self, kind: Kind) -> Vec<Duration> {
        self.of(kind).map(|heard| heard.took).collect()
    }
}
