//! Accepting jobs: callers that arrive while a commit runs share the next one.

use crate::model::SCHEDULED;
use crate::queue::{Core, InHand};
use crate::{JobId, JobState, Priority, Queue, Result, StoreError, Tx, Worker, commit, commit::Pending};
use chassis_telemetry::{SpanExt as _, TraceContext};
use data_encoding::HEXLOWER;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize, Serializer};
use std::sync::{Arc, atomic::Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

/// Whether jobs are committed as waiting, or as running already. `Never` only asks what stands under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    Later,
    Now,
    Never,
}

/// Jobs to enqueue: one group, whose jobs differ in their payload only.
#[derive(Clone, Debug)]
pub struct Enqueue<J> {
    /// From [`Queue::new_id`], with as many parts as there are jobs.
    pub id: JobId,
    /// One of the queue's channels.
    pub channel: &'static str,
    pub priority: Priority,
    /// Unix milliseconds; `None` is now.
    pub run_at: Option<i64>,
    /// Unix milliseconds after which no attempt starts.
    pub not_after: i64,
    /// May be empty where only `writes` and the key matter.
    pub jobs: Vec<J>,
    pub key: Option<Key>,
    /// Kept under the key for repeats.
    pub answer: Answer,
    /// For whom [`crate::QueueSetup::guard`] has to hold in the commit; else nothing is stored and the result is
    /// [`Refused::Unmet`].
    pub guard: Option<String>,
    /// Statements of the domain that commit together with the jobs.
    pub writes: Vec<Statement>,
}

impl<J> Enqueue<J> {
    /// Jobs of normal priority that are due now and never expire, without a key.
    pub fn new(id: JobId, channel: &'static str, jobs: Vec<J>) -> Self {
        Self {
            id,
            channel,
            priority: Priority::Normal,
            run_at: None,
            not_after: i64::MAX,
            jobs,
            key: None,
            answer: Answer::default(),
            guard: None,
            writes: Vec::new(),
        }
    }
}

/// An idempotency key: hashes of whose request it is, and of what the request says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Key {
    #[serde(serialize_with = "hex")]
    pub scope: [u8; 32],
    #[serde(serialize_with = "hex")]
    pub digest: [u8; 32],
}

/// The answer that a repeat with the same key gets again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Answer {
    pub status: u16,
    #[serde(serialize_with = "hex")]
    pub body: Vec<u8>,
    pub location: Option<String>,
}

/// One SQL statement with its values, `$1`, `$2`, …
#[derive(Clone, Debug)]
pub struct Statement {
    pub sql: &'static str,
    pub values: Vec<Value>,
}

/// A value bound to a statement.
#[derive(Clone, Debug)]
pub enum Value {
    Int(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// What became of an accepted enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// Committed.
    New,
    /// The key was used before with the same digest: the first answer again.
    Replayed(Answer),
}

/// What became of [`Queue::run_now`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Attempted; a state for each job.
    States(Vec<JobState>),
    Replayed(Answer),
}

/// Why nothing was enqueued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the backlog is full")]
    BacklogFull { retry_after: Duration },
    #[error("the idempotency key was used with another request")]
    KeyReused,
    /// Only [`Queue::run_now`] leaves a key in this state.
    #[error("the first request with the idempotency key is still running")]
    InFlight,
    #[error("a precondition does not hold")]
    Unmet,
    /// Nothing was stored.
    #[error("the store is unavailable: {0}")]
    StoreUnavailable(&'static str),
    /// The store vanished during the commit; it may have been stored.
    #[error("the store vanished during the commit")]
    CommitUnknown,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(reason) => Self::StoreUnavailable(reason),
            StoreError::CommitUnknown(_) => Self::CommitUnknown,
            StoreError::Statement(reason) => {
                tracing::error!(reason, "jobs could not be stored");
                Self::StoreUnavailable("a statement failed")
            }
        }
    }
}

impl<W: Worker> Queue<W> {
    /// Commits jobs to be run later. Makes the PRODUCER span (`send <destination>`), whose context every attempt
    /// continues.
    ///
    /// # Errors
    /// See [`Refused`]; only [`Refused::CommitUnknown`] may have stored something.
    pub async fn enqueue(&self, enqueue: Enqueue<W::Job>) -> Result<Enqueued, Refused> {
        let jobs = enqueue.jobs.len();
        let span = self.core.send_span(&enqueue, jobs);
        self.submit(enqueue, jobs, Start::Later, &span).await
    }

    /// The same inside a caller's transaction: stored if that commits, which also wakes the workers.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn enqueue_in(&self, tx: &mut Tx, enqueue: Enqueue<W::Job>) -> Result<Enqueued, Refused> {
        let core = Arc::clone(&self.core);
        let jobs = enqueue.jobs.len();
        let span = core.send_span(&enqueue, jobs);
        let mut batch = [core.pending(enqueue, jobs, Start::Later, &span)?.0];
        let others = commit::store_in(&core, tx, &batch).instrument(span).await?;
        if let Some(told) = others.into_values().next() {
            return told;
        }
        tx.then.push(Box::new(move || {
            batch.iter_mut().for_each(|pending| pending.stored(&core));
            core.committed_jobs(batch.iter().map(|pending| pending.enqueue.channel));
        }));
        Ok(Enqueued::New)
    }

    /// What a repeat with this key gets; `None` if the key is new. Asked of the committers, so that it waits for a first
    /// that is being committed.
    ///
    /// # Errors
    /// [`Refused::KeyReused`], [`Refused::InFlight`], or the store is unavailable.
    pub async fn repeated(&self, key: &Key) -> Result<Option<Answer>, Refused> {
        let enqueue = Enqueue { key: Some(key.clone()), ..Enqueue::new(self.new_id(1), "", Vec::new()) };
        let (pending, answered) = self.core.pending(enqueue, 0, Start::Never, &Span::none())?;
        match self.send(pending, answered).await {
            Ok(Enqueued::Replayed(first)) => Ok(Some(first)),
            Ok(Enqueued::New) | Err(Refused::Unmet) => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// Refuses an enqueue unless it repeats another: what was accepted once is not refused to its repeat.
    pub(crate) async fn repeated_or(&self, key: Option<&Key>, refused: Refused) -> Result<Answer, Refused> {
        let Some(key) = key else { return Err(refused) };
        self.repeated(key).await?.ok_or(refused)
    }

    /// Sends an enqueue, which counts as so many jobs, to the committers and waits for its commit.
    pub(crate) async fn submit(
        &self,
        enqueue: Enqueue<W::Job>,
        jobs: usize,
        start: Start,
        span: &Span,
    ) -> Result<Enqueued, Refused> {
        let key = enqueue.key.clone();
        match self.core.pending(enqueue, jobs, start, span) {
            Ok((pending, answered)) => self.send(pending, answered).await,
            Err(refused) => self.repeated_or(key.as_ref(), refused).await.map(Enqueued::Replayed),
        }
    }

    async fn send(&self, pending: Pending<W::Job>, answered: Answered) -> Result<Enqueued, Refused> {
        if let Some(reason) = self.core.store.outage() {
            return Err(Refused::StoreUnavailable(reason));
        }
        let closed = |_| Refused::StoreUnavailable("the store is closed");
        self.accept.send(pending).await.map_err(closed)?;
        answered.await.map_err(|_| Refused::CommitUnknown)?
    }
}

/// Jobs that run while their caller waits.
impl<W: Worker> Queue<W> {
    /// Commits jobs as running, makes one attempt at each while the caller waits, and has [`Self::run`] commit the
    /// outcomes with the answer that `answer` makes of the group's id and the jobs' states. Nothing is retried;
    /// dropping the future cancels nothing.
    ///
    /// # Errors
    /// See [`Refused`]; also refused while as many such jobs run as the channel has workers.
    pub async fn run_now(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl Fn(JobId, &[JobState]) -> Answer + Send + 'static,
    ) -> Result<Finished, Refused> {
        if !self.take_in_hand(&enqueue) {
            let full = Refused::BacklogFull { retry_after: Duration::from_secs(1) };
            return self.repeated_or(enqueue.key.as_ref(), full).await.map(Finished::Replayed);
        }
        let (queue, span) = (self.clone(), self.core.send_span(&enqueue, enqueue.jobs.len()));
        // A task of its own: once committed, the attempt is made whoever waits for it.
        let work = async move { queue.commit_and_run(enqueue, answer).await };
        #[expect(clippy::disallowed_methods, reason = "the task is in the caller's span")]
        tokio::spawn(work.instrument(span)).await.unwrap_or(Err(Refused::CommitUnknown))
    }

    /// Notes the jobs as running, unless as many run as there may be.
    fn take_in_hand(&self, enqueue: &Enqueue<W::Job>) -> bool {
        let Enqueue { id, channel, priority, .. } = *enqueue;
        let mut in_hand = self.core.in_hand.lock();
        let running = in_hand.values().filter(|job| job.sync && job.channel == channel).count();
        let free = running < self.core.setup.config.workers;
        if free {
            let hand = |part| (id.part(part).0, InHand { channel, priority, worker: 0, sync: true });
            in_hand.extend((0..enqueue.jobs.len()).map(hand));
        }
        free
    }

    async fn commit_and_run(
        &self,
        enqueue: Enqueue<W::Job>,
        answer: impl Fn(JobId, &[JobState]) -> Answer + Send,
    ) -> Result<Finished, Refused> {
        let core = &self.core;
        let (id, count, key) = (enqueue.id, enqueue.jobs.len(), enqueue.key.clone());
        let enqueued = self.submit(enqueue, count, Start::Now, &Span::current()).await;
        let read = core.store.transaction(async { core.group(&mut *core.store.reader().await?, id).await });
        let jobs = if enqueued == Ok(Enqueued::New) { read.await.ok() } else { None };
        let Some(jobs) = jobs else {
            core.in_hand.lock().retain(|job, _| !(id.0..id.part(count).0).contains(job));
            // If they are committed all the same, the dispatcher finds and starts them.
            core.doubt.store(true, Ordering::Relaxed);
            core.wake(core.setup.channels.iter().copied());
            return match (enqueued, &key) {
                // A crash may have left it without its answer: the jobs know.
                (Err(Refused::InFlight), Some(key)) => self.finished_before(key, answer).await,
                (Ok(Enqueued::Replayed(first)), _) => Ok(Finished::Replayed(first)),
                (other, _) => Err(other.err().unwrap_or(Refused::CommitUnknown)),
            };
        };
        let mut ended = join_all(jobs.into_iter().map(|job| job.attempt(core))).await;
        let states: Vec<JobState> = ended.iter().map(|ended| ended.decision.state).collect();
        let (told, committed) = oneshot::channel();
        if let Some(last) = ended.last_mut() {
            last.answer = key.map(|key| (key, answer(id, &states)));
            last.told = Some(told);
        }
        for ended in ended {
            let _ = core.ends.send(ended).await;
        }
        // However long the store takes to come back.
        let _ = committed.await;
        Ok(Finished::States(states))
    }

    /// The answer to a key whose jobs finished without one.
    async fn finished_before(
        &self,
        key: &Key,
        answer: impl Fn(JobId, &[JobState]) -> Answer,
    ) -> Result<Finished, Refused> {
        const OWNER: &str = "SELECT owner FROM idempotency WHERE scope = $1";
        let found = async {
            let mut reader = self.core.store.read("find jobs").await?;
            let owner = sqlx::query_scalar(OWNER).bind(&key.scope[..]).fetch_optional(&mut *reader).await?;
            let first = JobId(owner.unwrap_or_default());
            Ok((first, self.core.group(&mut reader, first).await?))
        };
        let (first, jobs) = self.core.store.transaction(found).await?;
        let states: Vec<JobState> = jobs.iter().map(|job| job.state).collect();
        if states.is_empty() || !states.iter().all(|state| state.is_final()) {
            return Err(Refused::InFlight);
        }
        Ok(Finished::Replayed(answer(first, &states)))
    }
}

/// Where the caller of an enqueue waits.
type Answered = oneshot::Receiver<Result<Enqueued, Refused>>;

impl<W: Worker> Core<W> {
    /// The PRODUCER span of so many jobs.
    pub(crate) fn send_span(&self, enqueue: &Enqueue<W::Job>, jobs: usize) -> Span {
        if jobs == 0 {
            return Span::current();
        }
        let Enqueue { id, channel, priority, .. } = *enqueue;
        self.message_span("send", Span::current().id(), id, channel, priority, jobs)
    }

    /// Takes room in the backlog and writes the rows.
    fn pending(
        &self,
        enqueue: Enqueue<W::Job>,
        jobs: usize,
        start: Start,
        span: &Span,
    ) -> Result<(Pending<W::Job>, Answered), Refused> {
        let run_at = self.later(enqueue.run_at);
        let room =
            (jobs > 0).then(|| self.backlog.reserve(run_at.is_some(), enqueue.priority, jobs)).transpose()?;
        let rows = rows(&enqueue, start, run_at, span)?;
        let (answer, answered) = oneshot::channel();
        let (span, since) = (span.clone(), Instant::now());
        Ok((Pending { enqueue, jobs, rows, room, span, since, answer }, answered))
    }

    /// A `run_at` that is not past.
    pub(crate) fn later(&self, run_at: Option<i64>) -> Option<i64> {
        run_at.filter(|at| *at > self.store.now_ms())
    }
}

/// A job, or a key without a job, as `sql` takes it.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Row<'a> {
    pub(crate) id: i64,
    pub(crate) group_id: i64,
    pub(crate) parts: usize,
    pub(crate) batch: i64,
    pub(crate) channel: &'a str,
    pub(crate) priority: u8,
    pub(crate) state: i64,
    /// `None` is now.
    pub(crate) first_due: Option<i64>,
    pub(crate) not_after: i64,
    #[serde(serialize_with = "hex")]
    pub(crate) trace: [u8; TraceContext::BYTES],
    /// `None` is no job.
    pub(crate) payload: Option<String>,
    #[serde(flatten)]
    pub(crate) key: Option<&'a Key>,
    /// A key that waits for an outcome has none yet.
    #[serde(flatten)]
    pub(crate) answer: Option<&'a Answer>,
    /// For whom the guard has to hold.
    pub(crate) subject: Option<&'a str>,
}

/// The context that a job continues, as it is stored.
pub(crate) fn context(span: &Span) -> [u8; TraceContext::BYTES] {
    span.trace_context().unwrap_or_else(TraceContext::new_root).to_bytes()
}

/// Bytes in JSON.
fn hex<T: AsRef<[u8]>, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(bytes.as_ref()))
}

/// The rows of a group: one for each job, or one for its key.
fn rows<J: Serialize>(
    enqueue: &Enqueue<J>,
    start: Start,
    run_at: Option<i64>,
    span: &Span,
) -> Result<String> {
    let mut row = Row {
        group_id: enqueue.id.0,
        parts: enqueue.jobs.len().max(1),
        channel: enqueue.channel,
        priority: enqueue.priority as u8,
        state: match start {
            Start::Never => 0,
            Start::Now => JobState::Running as i64,
            Start::Later if run_at.is_some() => SCHEDULED,
            Start::Later => JobState::Accepted as i64,
        },
        first_due: run_at,
        not_after: enqueue.not_after,
        trace: context(span),
        key: enqueue.key.as_ref(),
        answer: enqueue.key.is_some().then_some(&enqueue.answer).filter(|_| start != Start::Now),
        subject: enqueue.guard.as_deref(),
        ..Row::default()
    };
    let mut rows = String::with_capacity(700 * row.parts);
    for part in 0..row.parts {
        row.id = enqueue.id.part(part).0;
        row.payload = enqueue.jobs.get(part).map(json).transpose()?;
        rows.push_str(if part == 0 { "" } else { "," });
        rows.push_str(&json(&row)?);
    }
    Ok(rows)
}

pub(crate) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Statement(format!("a job is no JSON: {error}")))
}

pub(crate) fn read_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T> {
    // The error itself would show what is stored.
    let damaged = |error: serde_json::Error| format!("stored JSON is damaged at column {}", error.column());
    serde_json::from_str(text).map_err(|error| StoreError::Statement(damaged(error)))
}
