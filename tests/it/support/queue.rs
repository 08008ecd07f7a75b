//! A queue on a real SQLite file, with a handler that the test tells what to answer.

use epro_notify::platform::{
    queue::{
        Answer, Attempt, Batch, Fact, Handler, IdempotencyKey, Job, JobId, JobRecord, Members, Outcome,
        Payloads, Priority, Queue, Refused, SCHEMA, Status, Submission, Submitted,
        config::{OnUnknown, QueueConfig, RetryConfig},
    },
    store::{LedgerState, Store},
    time::now_ms,
};
use parking_lot::Mutex;
use std::{collections::VecDeque, path::Path, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle};
use tracing::Span;

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Answers attempts as told, `Delivered` by default, and remembers them.
#[derive(Default)]
pub struct Script {
    pub outcomes: Mutex<VecDeque<Outcome>>,
    pub attempts: Mutex<Vec<Job>>,
    pub facts: Mutex<Vec<Fact>>,
    /// Attempts go on only as far as there are permits; `None` lets all pass.
    pub gate: Option<Arc<Semaphore>>,
}

impl Handler for Script {
    async fn attempt(&self, job: &Job) -> Attempt {
        self.attempts.lock().push(job.clone());
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let outcome = self.outcomes.lock().pop_front().unwrap_or(Outcome::Delivered);
        Attempt { outcome, provider: "script", took: Duration::from_millis(1) }
    }
    /// A member is one byte: how many jobs it has.
    fn expand(&self, template: &[u8], members: &[u8]) -> Option<Vec<Payloads>> {
        let payloads = |jobs: &u8| vec![template.to_vec(); usize::from(*jobs)];
        (template == b"template").then(|| members.iter().map(payloads).collect())
    }

    fn observe(&self, fact: &Fact) {
        self.facts.lock().push(fact.clone());
    }
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

pub fn config() -> QueueConfig {
    QueueConfig {
        max_backlog: 1000,
        max_scheduled: 1000,
        workers: 4,
        retention: Duration::from_secs(3600),
        retry: RetryConfig {
            max_attempts: 4,
            base_delay: Duration::from_millis(20),
            max_delay: Duration::from_millis(50),
            on_unknown: OnUnknown::Retry,
        },
    }
}

/// A queue at work.
pub struct Running {
    pub store: Store,
    pub queue: Queue,
    pub script: Arc<Script>,
    dispatcher: Option<JoinHandle<()>>,
}

impl Running {
    /// Opened, and delivering nothing until [`Self::start`].
    pub async fn open(folder: &Path, config: QueueConfig, script: Script) -> Self {
        let store = Store::open(&folder.join("test.db"), true, PATIENCE, &[SCHEMA]).unwrap();
        let script = Arc::new(script);
        let queue = Queue::open(store.clone(), config, &["test"], Arc::clone(&script)).await.unwrap();
        Self { store, queue, script, dispatcher: None }
    }

    pub fn start(&mut self) {
        self.dispatcher = Some(tokio::spawn(self.queue.start()));
    }

    pub async fn started(folder: &Path, config: QueueConfig, script: Script) -> Self {
        let mut running = Self::open(folder, config, script).await;
        running.start();
        running
    }

    pub async fn stop(self) {
        self.queue.stop().await;
        if let Some(dispatcher) = self.dispatcher {
            dispatcher.await.unwrap();
        }
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.close()).await.unwrap();
    }

    /// Waits until the notification's only job has this status.
    pub async fn until(&self, id: JobId, status: Status) -> JobRecord {
        let reached = async {
            loop {
                if let [job] = &self.queue.find(id).await.unwrap()[..]
                    && job.status == status
                {
                    return job.clone();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached)
            .await
            .unwrap_or_else(|_| panic!("the job never became {status:?}"))
    }

    /// Waits until so many attempts have begun.
    pub async fn attempted(&self, count: usize) {
        let reached = async {
            while self.script.attempts.lock().len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the attempts never began");
    }

    pub async fn submit(&self, submission: Submission) -> Result<Submitted, Refused> {
        self.queue.submit(submission, &Span::none()).await
    }

    pub async fn deliver_now(&self, submission: Submission) -> Result<Submitted, Refused> {
        self.queue.deliver_now(submission, Span::none()).await
    }

    pub fn ledger(&self, state: LedgerState) -> i64 {
        let ledger = self.store.ledger();
        assert_eq!(ledger.imbalance(), 0, "{ledger:?}");
        ledger.get(state)
    }

    pub fn submission(&self) -> Submission {
        Submission {
            id: self.queue.allocate(1),
            channel: "test",
            priority: Priority::Normal,
            send_at: None,
            not_after: now_ms() + 60_000,
            payloads: vec![b"payload".to_vec()],
            idempotency: None,
            precondition: None,
            answer,
        }
    }

    /// A batch of notifications of so many jobs each.
    pub fn batch(&self, jobs: &[u8]) -> Batch {
        let mut members = Members::default();
        jobs.iter().for_each(|jobs| members.add(&[*jobs], usize::from(*jobs)));
        let id = self.queue.allocate(members.jobs() + 1);
        Batch {
            id,
            channel: "test",
            priority: Priority::Bulk,
            send_at: None,
            not_after: now_ms() + 7_200_000,
            template: b"template".to_vec(),
            members,
            skipped: 7,
            idempotency: None,
            answer: answer(id, &[]),
        }
    }

    pub fn keyed(&self, key: &str, body: &[u8]) -> Submission {
        let idempotency = Some(IdempotencyKey::new("client", "POST", "/route", key, body));
        Submission { idempotency, ..self.submission() }
    }
}

pub fn answer(id: JobId, statuses: &[Status]) -> Answer {
    let body =
        format!("{id} {}", statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(","));
    Answer { status: 202, body: body.into_bytes(), location: None }
}
