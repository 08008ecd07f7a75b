//! What the queue promises, on any database: `crate::Database` says which.

mod accept;
pub mod batches;
mod crash;
mod deliver;
mod people;
mod transactions;

use crate::Database;
use chassis_queue::{
    Answer, Attempt, AttemptOutcome, Component, Enqueue, Enqueued, Fact, Finished, JobId, JobRecord,
    JobState, Key, Ledger, Migration, Names, OnUnknown, Outcome, Priority, Queue, QueueConfig, QueueSetup,
    Refused, Report, RetryConfig, Store, Worker,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};

pub const PATIENCE: Duration = Duration::from_secs(20);
pub const RETRY: Outcome = Outcome::Retry { reason: "status_503", after: None };
pub const UNKNOWN: Outcome = Outcome::Unknown { reason: "timeout" };
pub const FAILED: Outcome = Outcome::Failed { reason: "status_404" };
pub const DONE: Outcome = Outcome::Completed { receipt: None };

/// A job of the tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub text: String,
    #[serde(default)]
    pub to: usize,
}

/// Answers attempts as told, `DONE` by default, and remembers them.
#[derive(Default)]
pub struct Script {
    pub outcomes: Mutex<VecDeque<Outcome>>,
    pub attempts: Mutex<Vec<(Job, Attempt)>>,
    pub facts: Mutex<Vec<Fact>>,
    /// Attempts go on only as far as there are permits; `None` lets all pass.
    pub gate: Option<Arc<Semaphore>>,
    /// Only attempts of this channel wait.
    pub gated_channel: Option<&'static str>,
    pub panics: bool,
    /// Panics when it is told of what was accepted.
    pub panics_at_accept: bool,
    /// Makes no attempts for now.
    pub paused: AtomicBool,
}

impl Worker for Script {
    type Job = Job;

    async fn run(&self, job: &Job, attempt: &Attempt) -> Report {
        self.attempts.lock().push((job.clone(), attempt.clone()));
        if let Some(gate) = &self.gate
            && self.gated_channel.is_none_or(|channel| channel == attempt.channel)
        {
            gate.acquire().await.unwrap().forget();
        }
        assert!(!self.panics, "as told");
        let outcome = self.outcomes.lock().pop_front().unwrap_or(DONE);
        Report { outcome, provider: "script", took: Duration::from_millis(1) }
    }

    fn paused(&self, _: &'static str) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    fn observe(&self, fact: &Fact) {
        assert!(!self.panics_at_accept || !matches!(fact, Fact::Accepted { .. }), "as told");
        self.facts.lock().push(fact.clone());
    }
}

/// What the ledger says is in no other state.
pub fn queued(ledger: Ledger) -> i64 {
    let Ledger { accepted, completed, failed, expired, cancelled, unknown } = ledger;
    accepted - completed - failed - expired - cancelled - unknown
}

pub fn telling(outcomes: &[Outcome]) -> Script {
    let script = Script::default();
    script.outcomes.lock().extend(outcomes.iter().cloned());
    script
}

pub fn gated() -> (Script, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    (Script { gate: Some(Arc::clone(&gate)), ..Script::default() }, gate)
}

#[derive(Clone)]
pub struct Config {
    pub queue: QueueConfig,
    pub retry: RetryConfig,
}

pub fn config() -> Config {
    Config {
        queue: QueueConfig {
            max_backlog: 1000,
            max_scheduled: 1000,
            workers: 4,
            retention: Duration::from_secs(3600),
        },
        retry: RetryConfig {
            max_attempts: 4,
            base_delay: Duration::from_millis(20),
            max_delay: Duration::from_millis(50),
            on_unknown: OnUnknown::Retry,
            max_unknown: 3,
        },
    }
}

pub fn backlog(max_backlog: usize) -> Config {
    let mut config = config();
    config.queue.max_backlog = max_backlog;
    config
}

pub fn hold() -> Config {
    let mut config = config();
    config.retry.on_unknown = OnUnknown::Hold;
    config
}

pub fn workers(workers: usize) -> Config {
    let mut config = config();
    config.queue.workers = workers;
    config
}

/// A domain table beside the queue's.
pub const ACCOUNTS: Component = Component {
    name: "accounts",
    ids: &["note"],
    steps: &[Migration {
        min_reader: 1,
        sql: "CREATE TABLE account (id TEXT PRIMARY KEY, phone TEXT); CREATE TABLE note (id {id}, text TEXT NOT NULL)",
    }],
};

pub const NAMES: Names = Names {
    system: "tests",
    destination: "jobs",
    ledger_metric: "test_ledger_jobs",
    state: |state| if state == JobState::Completed { "done" } else { "other" },
    outcome: |outcome| if outcome == AttemptOutcome::Completed { "done" } else { "other" },
};

/// A queue on a database of its own.
pub struct Running {
    pub queue: Queue<Script>,
    pub script: Arc<Script>,
    run: Option<JoinHandle<()>>,
    /// Where it is on a database that no other program opens.
    _alone: Option<Database>,
}

impl Running {
    /// Started on a database of its own.
    pub async fn alone(config: Config, script: Script) -> Self {
        let database = Database::new().await;
        let running = Self::started(&database, config, script).await;
        Self { _alone: Some(database), ..running }
    }

    /// Opened, and running nothing until [`Self::start`].
    pub async fn open(database: &Database, config: Config, script: Script) -> Self {
        let store = Store::open(&database.config(), &[ACCOUNTS]).await.unwrap();
        let script = Arc::new(script);
        let setup = QueueSetup {
            names: NAMES,
            channels: &["test", "other"],
            guard: "EXISTS (SELECT 1 FROM account WHERE id = {subject} AND phone IS NOT NULL)",
            config: config.queue,
            retry: config.retry,
            worker: Arc::clone(&script),
        };
        let queue = Queue::open(store, setup).await.unwrap();
        Self { queue, script, run: None, _alone: None }
    }

    pub fn start(&mut self) {
        let queue = self.queue.clone();
        self.run = Some(tokio::spawn(async move { queue.run().await }));
    }

    pub async fn started(database: &Database, config: Config, script: Script) -> Self {
        let mut running = Self::open(database, config, script).await;
        running.start();
        running
    }

    pub async fn stop(self) {
        self.queue.stop();
        if let Some(run) = self.run {
            timeout(PATIENCE, run).await.expect("the queue did not stop").unwrap();
        }
        self.queue.store().close().await;
    }

    /// Ends without a stop, as a process does that is killed.
    pub async fn kill(self) {
        if let Some(run) = self.run {
            run.abort();
        }
        self.queue.store().close().await;
    }

    pub fn job(&self) -> Enqueue<Job> {
        self.jobs(1)
    }

    /// A group of jobs.
    pub fn jobs(&self, count: usize) -> Enqueue<Job> {
        let id = self.queue.new_id(count);
        Enqueue {
            id,
            channel: "test",
            priority: Priority::Normal,
            run_at: None,
            not_after: self.queue.store().now_ms() + 60_000,
            jobs: (0..count).map(|to| Job { text: "a \"text\" \u{0} \u{1F600}".to_owned(), to }).collect(),
            key: None,
            answer: answer(id, &[JobState::Accepted]),
            guard: None,
            writes: Vec::new(),
        }
    }

    pub fn keyed(&self, scope: u8, digest: u8) -> Enqueue<Job> {
        Enqueue { key: Some(Key { scope: [scope; 32], digest: [digest; 32] }), ..self.job() }
    }

    /// Has this accepted; returns its id.
    pub async fn accept(&self, enqueue: Enqueue<Job>) -> JobId {
        let id = enqueue.id;
        assert_eq!(self.queue.enqueue(enqueue).await, Ok(Enqueued::New));
        id
    }

    /// Has so many accepted, one after the other.
    pub async fn accept_many(&self, count: usize) -> Vec<JobId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.accept(self.job()).await);
        }
        ids
    }

    pub async fn run_now(&self, enqueue: Enqueue<Job>) -> Result<Finished, Refused> {
        self.queue.run_now(enqueue, answer).await
    }

    pub async fn find(&self, id: JobId) -> Vec<JobRecord> {
        self.queue.find(id).await.unwrap().unwrap_or_default()
    }

    /// Waits until the group's only job has this state.
    pub async fn until(&self, id: JobId, state: JobState) -> JobRecord {
        let reached = async {
            loop {
                if let [job] = &self.find(id).await[..]
                    && job.state == state
                {
                    return job.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match timeout(PATIENCE, reached).await {
            Ok(job) => job,
            Err(_) => panic!("the job never became {state:?}: {:?}", self.find(id).await),
        }
    }

    /// Waits until something holds.
    pub async fn wait(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let reached = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("{what}"));
    }

    /// Waits until so many attempts have started.
    pub async fn attempted(&self, count: usize) {
        self.wait("the attempts never started", async || self.script.attempts.lock().len() >= count).await;
    }

    /// The ledger in the database, which has to agree with its jobs.
    pub async fn ledger(&self) -> Ledger {
        let mut reader = self.queue.store().read("ledger").await.unwrap();
        let row = sqlx::query(
            "SELECT CAST(sum(accepted) AS BIGINT), CAST(sum(completed) AS BIGINT), CAST(sum(failed) AS BIGINT), \
             CAST(sum(expired) AS BIGINT), CAST(sum(cancelled) AS BIGINT), CAST(sum(unknown) AS BIGINT), \
             (SELECT count(*) FROM job WHERE state <= 5) + (SELECT CAST(coalesce(sum(jobs), 0) AS BIGINT) FROM chunk), \
             (SELECT count(*) FROM job WHERE state = 10) FROM ledger",
        )
        .fetch_one(&mut *reader)
        .await
        .unwrap();
        let count = |index: usize| sqlx::Row::get::<i64, _>(&row, index);
        let ledger = Ledger {
            accepted: count(0),
            completed: count(1),
            failed: count(2),
            expired: count(3),
            cancelled: count(4),
            unknown: count(5),
        };
        assert_eq!((queued(ledger), ledger.unknown), (count(6), count(7)), "{ledger:?}");
        ledger
    }

    pub fn attempts(&self) -> usize {
        self.script.attempts.lock().len()
    }

    pub async fn execute(&self, sql: &'static str) {
        let mut tx = self.queue.store().begin().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

pub fn answer(id: JobId, states: &[JobState]) -> Answer {
    Answer {
        status: 202,
        body: format!("{id} {states:?}").into_bytes(),
        location: Some(format!("/jobs/{id}")),
    }
}

pub fn outcomes(job: &JobRecord) -> Vec<AttemptOutcome> {
    job.attempts.iter().map(|attempt| attempt.outcome).collect()
}
