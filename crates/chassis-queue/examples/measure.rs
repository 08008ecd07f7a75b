//! Measures a queue: `cargo run --release -p chassis-queue --example measure -- [sqlite:///tmp/m.db | postgres://…] [seconds] [callers]`.
//!
//! Accepts a second from many callers, with and without idempotency keys; then how fast workers that do nothing drain
//! what was accepted.

#![expect(clippy::disallowed_methods, reason = "spans are not what is measured")]

use chassis_queue::{
    Answer, Attempt, Enqueue, Key, Names, Outcome, Priority, Queue, QueueConfig, QueueSetup, Report,
    RetryConfig, Store, StoreConfig, Worker,
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

#[derive(Serialize, Deserialize)]
struct Job {
    to: String,
    text: String,
}

struct Nothing;

static DONE: AtomicU64 = AtomicU64::new(0);

impl Worker for Nothing {
    type Job = Job;

    async fn run(&self, _: &Job, _: &Attempt) -> Report {
        DONE.fetch_add(1, Ordering::Relaxed);
        Report { outcome: Outcome::Completed { receipt: None }, provider: "none", took: Duration::ZERO }
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = tempfile::tempdir()?;
    let url = arguments.next().unwrap_or_else(|| format!("sqlite://{}/measure.db", folder.path().display()));
    let seconds: f64 = arguments.next().map_or(Ok(5.0), |text| text.parse())?;
    let callers: usize = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let config = StoreConfig { url: url.parse()?, password_file: None, max_connections: 8, max_readers: 4 };
    let store = Store::open(&config, &[]).await?;
    let queue = Queue::open(store, setup()).await?;
    for keyed in [false, true] {
        let (jobs, took) = accept(&queue, callers, Duration::from_secs_f64(seconds), keyed).await;
        let (rate, cpu) = (jobs as f64 / took.as_secs_f64(), cpu_seconds() * 1e6 / jobs as f64);
        say(&format!(
            "accept, {callers} callers, keys {keyed}: {rate:.0}/s ({cpu:.1} us CPU each, with all before)"
        ));
    }
    let begun = Instant::now();
    let (runs, before) = (queue.clone(), cpu_seconds());
    let run = tokio::spawn(async move { runs.run().await });
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    queue.stop();
    run.await?;
    let took = begun.elapsed().as_secs_f64();
    let done = DONE.load(Ordering::Relaxed);
    let cpu = (cpu_seconds() - before) * 1e6 / done.max(1) as f64;
    say(&format!("claim and complete: {:.0}/s ({cpu:.1} us CPU each) ", done as f64 / took));
    queue.store().close().await;
    Ok(())
}

fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<f64> = stat.split(' ').filter_map(|field| field.parse().ok()).collect();
    // utime and stime, the 14th and 15th fields; the second one is no number.
    fields.get(11..13).map_or(0.0, |times| times.iter().sum::<f64>() / 100.0)
}

async fn accept(queue: &Queue<Nothing>, callers: usize, time: Duration, keyed: bool) -> (u64, Duration) {
    let (accepted, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (queue, accepted) = (queue.clone(), Arc::clone(&accepted));
            tokio::spawn(async move {
                let mut number = 0_u64;
                while begun.elapsed() < time {
                    number += 1;
                    let mut enqueue = job(&queue);
                    enqueue.key = keyed.then(|| {
                        let mut scope = [caller as u8; 32];
                        scope[..8]
                            .copy_from_slice(&(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
                        Key { scope, digest: [1; 32] }
                    });
                    if queue.enqueue(enqueue).await.is_ok() {
                        accepted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        let _ = task.await;
    }
    (accepted.load(Ordering::Relaxed), begun.elapsed())
}

fn job(queue: &Queue<Nothing>) -> Enqueue<Job> {
    let id = queue.new_id(1);
    let text = "A message of a usual length, which says something about an appointment on Monday.".repeat(2);
    Enqueue {
        id,
        channel: "test",
        priority: Priority::Normal,
        run_at: None,
        not_after: queue.store().now_ms() + 86_400_000,
        jobs: vec![Job { to: "+41790000000".to_owned(), text }],
        key: None,
        answer: Answer { status: 202, body: format!(r#"{{"id":"{id}"}}"#).into_bytes(), location: None },
        guard: None,
        writes: Vec::new(),
    }
}

fn setup() -> QueueSetup<Nothing> {
    QueueSetup {
        names: Names {
            system: "measure",
            destination: "jobs",
            ledger_metric: "measure_ledger_jobs",
            state: |_| "state",
            outcome: |_| "outcome",
        },
        channels: &["test"],
        guard: "1 = 1",
        config: QueueConfig {
            max_backlog: 100_000_000,
            max_scheduled: 1,
            workers: 32,
            retention: Duration::from_secs(86_400),
        },
        retry: RetryConfig {
            max_attempts: 3,
            base_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(1),
            on_unknown: chassis_queue::OnUnknown::Retry,
            max_unknown: 3,
        },
        worker: Arc::new(Nothing),
    }
}
