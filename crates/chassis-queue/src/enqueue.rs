//! Accepting jobs: callers that arrive while a commit runs share the next one.

use crate::{
    Fact, JobId, JobState, Priority, Queue, StoreError, Tx, Worker,
    commit::{self, Committed, Found, Pending},
    model::Start,
    queue::Core,
    schema::code,
};
use chassis_telemetry::{SpanExt as _, TraceContext, names};
use serde::Serialize;
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span, field::Empty};

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
    /// Has to hold in the commit; else nothing is stored and the result is [`Refused::Unmet`].
    pub guard: Option<Guard>,
    /// Statements of the domain that commit together with the jobs.
    pub writes: Vec<Statement>,
}

/// An idempotency key: hashes of whose request it is, and of what the request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub scope: [u8; 32],
    pub digest: [u8; 32],
}

/// The answer that a repeat with the same key gets again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub location: Option<String>,
}

/// A precondition: the `index`-th of [`crate::QueueSetup::guards`] holds for `subject`.
#[derive(Clone, Debug)]
pub struct Guard {
    pub index: i32,
    pub subject: String,
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
    OptionalText(Option<String>),
    Bytes(Vec<u8>),
}

/// What became of an accepted enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enqueued {
    /// Committed.
    New,
    /// The key was used before with the same digest: the first answer again.
    Replayed(Answer),
    /// The key's first use is still running (only [`Queue::run_now`] leaves a key in this state).
    InFlight,
}

/// What became of [`Queue::run_now`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finished {
    /// Attempted; a state for each job.
    States(Vec<JobState>),
    Replayed(Answer),
    InFlight,
}

/// Why nothing was enqueued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the backlog is full")]
    BacklogFull { retry_after: Duration },
    #[error("the idempotency key was used with another request")]
    KeyReused,
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
        let span = self.core.producer_span(&enqueue);
        self.submit(&enqueue, Start::Later).instrument(span).await
    }

    /// The same inside a caller's transaction: stored if that commits. Workers are woken by [`Tx::commit`].
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn enqueue_in(&self, tx: &mut Tx, enqueue: Enqueue<W::Job>) -> Result<Enqueued, Refused> {
        let core = &self.core;
        let span = core.producer_span(&enqueue);
        let (mut pending, _) = core.pending(&enqueue, Start::Later, &span)?;
        let stored = async {
            let rows = commit::rows(std::slice::from_ref(&pending));
            let slot = core.shared_slot();
            commit::store_in(core, tx, slot, &rows, std::slice::from_ref(&pending)).await
        };
        let others = stored.instrument(span).await?;
        if let Some(found) = others.get(&pending.group) {
            return pending.key.as_ref().map_or(Err(Refused::Unmet), |key| found.under(key));
        }
        let (room, fact, core) = (pending.room.take(), pending.fact.take(), self.core.clone());
        tx.wakes = true;
        tx.then.push(Box::new(move || {
            room.into_iter().for_each(crate::backlog::Room::keep);
            fact.iter().for_each(|fact| core.worker.observe(fact));
            core.announce.notify_one();
        }));
        Ok(Enqueued::New)
    }

    /// What a repeat with this key gets, without storing anything; `None` if the key is new.
    ///
    /// # Errors
    /// [`Refused::KeyReused`] and [`Refused::StoreUnavailable`].
    pub async fn repeated(&self, key: &Key) -> Result<Option<Enqueued>, Refused> {
        const SQL: &str =
            "SELECT digest, CAST(status AS BIGINT), body, location FROM idempotency WHERE scope = $1";
        let mut reader = self.core.store.read("find idempotency key").await?;
        let row = sqlx::query(SQL).bind(&key.scope[..]).fetch_optional(&mut *reader).await;
        let Some(row) = row.map_err(StoreError::from)? else { return Ok(None) };
        Found::read(&row, 0).map_err(StoreError::from)?.under(key).map(Some)
    }

    /// Sends an enqueue to the committers and waits for its commit.
    pub(crate) async fn submit(&self, enqueue: &Enqueue<W::Job>, start: Start) -> Result<Enqueued, Refused> {
        let span = Span::current();
        let (pending, answered) = match self.core.pending(enqueue, start, &span) {
            Ok(pending) => pending,
            Err(full) => return self.repeated_or(enqueue.key.as_ref(), full).await,
        };
        self.send(pending, answered).await
    }

    pub(crate) async fn send(
        &self,
        pending: Pending,
        answered: oneshot::Receiver<Result<Committed, Refused>>,
    ) -> Result<Enqueued, Refused> {
        if let Some(reason) = self.core.store.outage() {
            return Err(Refused::StoreUnavailable(reason));
        }
        const CLOSED: Refused = Refused::StoreUnavailable("the store is closed");
        self.accept.send(pending).await.map_err(|_| CLOSED)?;
        let committed = answered.await.map_err(|_| Refused::CommitUnknown)??;
        let span = Span::current();
        span.record(names::WAITED_MS, committed.waited.as_secs_f64() * 1000.0);
        span.record(names::COMMITTED_MS, committed.took.as_secs_f64() * 1000.0);
        Ok(committed.enqueued)
    }

    /// Refuses an enqueue unless it repeats another: asked of the committers, so that it waits for a first that is
    /// being committed. What was accepted once is not refused to its repeat.
    pub(crate) async fn repeated_or(&self, key: Option<&Key>, refused: Refused) -> Result<Enqueued, Refused> {
        let Some(key) = key else { return Err(refused) };
        let (answer, answered) = oneshot::channel();
        let (mut rows, group) = ("[".to_owned(), self.new_id(1));
        Row { id: group, group, ..Row::NOTHING }.write(&mut rows).map_err(unwritable)?;
        let guard = Guard { index: -1, subject: String::new() };
        write_key(&mut rows, Some((key, None)), Some(&guard)).map_err(unwritable)?;
        rows.push(']');
        let pending = Pending {
            rows,
            group: group.0,
            jobs: 0,
            key: Some(key.clone()),
            guarded: true,
            writes: Vec::new(),
            room: None,
            fact: None,
            context: None,
            since: Instant::now(),
            answer,
        };
        match self.send(pending, answered).await {
            Err(Refused::Unmet) => Err(refused),
            other => other,
        }
    }
}

impl<W: Worker> Core<W> {
    pub(crate) fn producer_span(&self, enqueue: &Enqueue<W::Job>) -> Span {
        if enqueue.jobs.is_empty() {
            return Span::current();
        }
        tracing::info_span!(
            "send",
            otel.name = format_args!("send {}", self.names.destination),
            otel.kind = "producer",
            otel.status_code = Empty,
            messaging.system = self.names.system,
            messaging.operation.name = "send",
            messaging.operation.type = "send",
            messaging.destination.name = self.names.destination,
            messaging.message.id = %enqueue.id,
            channel = enqueue.channel,
            priority = enqueue.priority.as_str(),
            waited_ms = Empty,
            committed_ms = Empty,
        )
    }

    /// Takes room in the backlog and writes the rows.
    pub(crate) fn pending(
        &self,
        enqueue: &Enqueue<W::Job>,
        start: Start,
        span: &Span,
    ) -> Result<(Pending, oneshot::Receiver<Result<Committed, Refused>>), Refused> {
        let jobs = enqueue.jobs.len();
        let run_at = enqueue.run_at.filter(|at| *at > self.store.now_ms());
        let room = (jobs > 0).then(|| self.backlog.reserve(run_at.is_some(), enqueue.priority, jobs));
        let room = room.transpose().map_err(|retry_after| Refused::BacklogFull { retry_after })?;
        let context = span.trace_context().unwrap_or_else(TraceContext::new_root);
        let state = match start {
            Start::Now => code::RUNNING,
            Start::Later if run_at.is_some() => code::SCHEDULED,
            Start::Later => code::ACCEPTED,
        };
        let rows = rows(enqueue, &RowSetup { state, run_at, context, now: start == Start::Now });
        let (channel, priority) = (enqueue.channel, enqueue.priority);
        let (answer, answered) = oneshot::channel();
        let pending = Pending {
            rows: rows.map_err(unwritable)?,
            group: enqueue.id.0,
            jobs,
            key: enqueue.key.clone(),
            guarded: enqueue.guard.is_some(),
            writes: enqueue.writes.clone(),
            room,
            fact: (jobs > 0).then_some(Fact::Accepted { channel, priority, jobs }),
            context: (jobs > 0).then_some(context),
            since: Instant::now(),
            answer,
        };
        Ok((pending, answered))
    }
}

struct RowSetup {
    state: i64,
    run_at: Option<i64>,
    context: TraceContext,
    now: bool,
}

/// The rows of a group, as `sql` reads them: 0 id, 1 group, 2 parts, 3 batch, 4 channel, 5 priority, 6 state,
/// 7 first due or null for now, 8 not after, 9 trace, 10 payload (null: no job), 11 key's scope, 12 its digest,
/// 13 answer's status, 14 body, 15 location, 16 guard, 17 its subject.
fn rows<J: Serialize>(enqueue: &Enqueue<J>, setup: &RowSetup) -> Result<String, serde_json::Error> {
    let mut rows = String::with_capacity(600 * enqueue.jobs.len().max(1));
    let parts = enqueue.jobs.len().max(1);
    for part in 0..parts {
        let payload = enqueue.jobs.get(part).map(serde_json::to_string).transpose()?;
        let row = Row {
            id: enqueue.id.part(part),
            group: enqueue.id,
            parts,
            batch: 0,
            channel: enqueue.channel,
            priority: enqueue.priority,
            state: setup.state,
            first_due: setup.run_at,
            not_after: enqueue.not_after,
            context: Some(setup.context),
            payload: payload.as_deref(),
        };
        rows.push_str(if part == 0 { "[" } else { ",[" });
        row.write(&mut rows)?;
        let answer = (!setup.now).then_some(&enqueue.answer);
        write_key(&mut rows, enqueue.key.as_ref().map(|key| (key, answer)), enqueue.guard.as_ref())?;
        rows.push(']');
    }
    Ok(rows)
}

/// The columns of a job.
pub(crate) struct Row<'a> {
    pub(crate) id: JobId,
    pub(crate) group: JobId,
    pub(crate) parts: usize,
    pub(crate) batch: i64,
    pub(crate) channel: &'a str,
    pub(crate) priority: Priority,
    pub(crate) state: i64,
    pub(crate) first_due: Option<i64>,
    pub(crate) not_after: i64,
    pub(crate) context: Option<TraceContext>,
    pub(crate) payload: Option<&'a str>,
}

impl Row<'_> {
    /// No job.
    const NOTHING: Self = Self {
        id: JobId(0),
        group: JobId(0),
        parts: 1,
        batch: 0,
        channel: "",
        priority: Priority::Bulk,
        state: code::ACCEPTED,
        first_due: None,
        not_after: 0,
        context: None,
        payload: None,
    };

    /// Writes places 0 to 10.
    pub(crate) fn write(&self, out: &mut String) -> Result<(), serde_json::Error> {
        let Self { id, group, parts, batch, channel, priority, state, not_after, .. } = self;
        let (id, group, priority) = (id.0, group.0, *priority as u8);
        let _ = write!(out, r#"{id},{group},{parts},{batch},"{channel}",{priority},{state},"#);
        match self.first_due {
            Some(at) => drop(write!(out, "{at}")),
            None => out.push_str("null"),
        }
        let _ = write!(out, ",{not_after},");
        push_hex(out, self.context.map(TraceContext::to_bytes).as_ref().map_or(&[], |bytes| &bytes[..]));
        out.push(',');
        out.push_str(&serde_json::to_string(&self.payload)?);
        Ok(())
    }
}

/// Writes places 11 to 17. A key without an answer waits for one.
fn write_key(
    out: &mut String,
    key: Option<(&Key, Option<&Answer>)>,
    guard: Option<&Guard>,
) -> Result<(), serde_json::Error> {
    if let Some((key, answer)) = key {
        out.push(',');
        push_hex(out, &key.scope);
        out.push(',');
        push_hex(out, &key.digest);
        if let Some(answer) = answer {
            let _ = write!(out, ",{},", answer.status);
            push_hex(out, &answer.body);
            let _ = write!(out, ",{}", serde_json::to_string(&answer.location)?);
        } else {
            out.push_str(",null,null,null");
        }
    } else if guard.is_some() {
        out.push_str(",null,null,null,null,null");
    }
    if let Some(guard) = guard {
        let _ = write!(out, ",{},{}", guard.index, serde_json::to_string(&guard.subject)?);
    }
    Ok(())
}

fn unwritable(error: serde_json::Error) -> Refused {
    StoreError::Statement(format!("a job can't be written as JSON: {error}")).into()
}

/// Writes bytes as a JSON string of hex digits.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit));
    out.push('"');
    out.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    out.push('"');
}
