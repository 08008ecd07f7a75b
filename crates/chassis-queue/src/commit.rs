//! Group commit: callers that arrive while a commit runs share the next one.

use crate::{
    Answer, Fact, Key, Refused, Statement, StoreError, Worker,
    backlog::Room,
    enqueue::{Enqueued, Value},
    metrics::Operation,
    queue::{Core, LINKS, commit_span},
    store::{Dialect, Tx},
};
use chassis_telemetry::{SpanExt as _, TraceContext, names};
use sqlx::{Row as _, any::AnyRow};
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::Instrument as _;

/// Enqueues in one commit, at most.
const BATCH: usize = 1024;

/// An enqueue that waits for its commit.
pub(crate) struct Pending {
    /// JSON arrays, with a comma between two.
    pub(crate) rows: String,
    pub(crate) group: i64,
    pub(crate) jobs: usize,
    pub(crate) key: Option<Key>,
    pub(crate) guarded: bool,
    pub(crate) writes: Vec<Statement>,
    pub(crate) room: Option<Room>,
    pub(crate) fact: Option<Fact>,
    pub(crate) context: Option<TraceContext>,
    pub(crate) since: Instant,
    pub(crate) answer: oneshot::Sender<Result<Committed, Refused>>,
}

/// How a commit went for one of its callers.
#[derive(Debug)]
pub(crate) struct Committed {
    pub(crate) enqueued: Enqueued,
    pub(crate) waited: Duration,
    pub(crate) took: Duration,
}

/// Starts the committers, which end when the last sender does.
pub(crate) fn spawn<W: Worker>(
    core: &Arc<Core<W>>,
    committers: i64,
    (sender, receiver): (mpsc::Sender<Pending>, mpsc::Receiver<Pending>),
) -> mpsc::Sender<Pending> {
    let receiver = Arc::new(Mutex::new(receiver));
    for slot in 0..committers {
        let committer = run(Arc::clone(core), core.slot(slot), Arc::clone(&receiver));
        // Ends with the queue, whose last clone it does not hold.
        #[expect(clippy::disallowed_methods, reason = "each commit has a span and trace of its own")]
        tokio::spawn(committer);
    }
    sender
}

async fn run<W: Worker>(core: Arc<Core<W>>, slot: i64, receiver: Arc<Mutex<mpsc::Receiver<Pending>>>) {
    loop {
        let mut batch = Vec::new();
        if receiver.lock().await.recv_many(&mut batch, BATCH).await == 0 {
            return;
        }
        let span = commit_span(&core.store, batch.iter().map(|pending| pending.jobs).sum());
        batch.iter().filter_map(|pending| pending.context).take(LINKS).for_each(|of| span.link_to(of));
        commit(&core, slot, batch).instrument(span).await;
    }
}

/// Commits a batch and answers its callers.
async fn commit<W: Worker>(core: &Core<W>, slot: i64, batch: Vec<Pending>) {
    let begun = Instant::now();
    let counting = core.counting.read().await;
    match store(core, slot, &batch).await {
        Ok(others) => {
            let took = begun.elapsed();
            let jobs = batch.iter().map(|pending| pending.jobs).sum();
            core.metrics.committed(Operation::Accept, jobs, took);
            for pending in batch {
                let told = others.get(&pending.group).map_or(Ok(Enqueued::New), |found| found.tell(&pending));
                answer(core, pending, told, begun, took);
            }
            core.store.wake().notify_one();
            core.announce.notify_one();
        }
        // One statement of a service can be wrong; the others in the batch shall not suffer from it.
        Err(StoreError::Statement(_)) if batch.len() > 1 => {
            drop(counting);
            for pending in batch {
                Box::pin(commit(core, slot, vec![pending])).await;
            }
        }
        Err(error) => {
            tracing::Span::current().record(names::OTEL_STATUS_CODE, "ERROR");
            if matches!(error, StoreError::CommitUnknown(_)) {
                core.doubt.store(true, Ordering::Relaxed);
            }
            let refused = Refused::from(error);
            batch
                .into_iter()
                .for_each(|pending| answer(core, pending, Err(refused.clone()), begun, begun.elapsed()));
        }
    }
}

fn answer<W: Worker>(
    core: &Core<W>,
    pending: Pending,
    told: Result<Enqueued, Refused>,
    begun: Instant,
    took: Duration,
) {
    if told == Ok(Enqueued::New) {
        pending.room.into_iter().for_each(Room::keep);
        pending.fact.iter().for_each(|fact| core.worker.observe(fact));
    }
    let waited = begun.saturating_duration_since(pending.since);
    // The caller may have left; what is committed stays committed.
    let _ = pending.answer.send(told.map(|enqueued| Committed { enqueued, waited, took }));
}

/// What stands under a key that somebody else used first, or nothing where a guard does not hold.
#[derive(Debug)]
pub(crate) struct Found {
    digest: Option<Vec<u8>>,
    answer: Option<Answer>,
}

impl Found {
    /// Reads a row of [`crate::sql::Statements::not_stored`], from the digest on.
    pub(crate) fn read(row: &AnyRow, first: usize) -> Result<Self, sqlx::Error> {
        let status: Option<i64> = row.try_get(first + 1)?;
        let (body, location) = (row.try_get::<Option<Vec<u8>>, _>(first + 2)?, row.try_get(first + 3)?);
        let answer =
            status.map(|status| Answer { status: status as u16, body: body.unwrap_or_default(), location });
        Ok(Self { digest: row.try_get(first)?, answer })
    }

    pub(crate) fn under(&self, key: &Key) -> Result<Enqueued, Refused> {
        match (&self.digest, &self.answer) {
            (None, _) => Err(Refused::Unmet),
            (Some(digest), _) if digest[..] != key.digest => Err(Refused::KeyReused),
            (Some(_), Some(answer)) => Ok(Enqueued::Replayed(answer.clone())),
            (Some(_), None) => Ok(Enqueued::InFlight),
        }
    }

    fn tell(&self, pending: &Pending) -> Result<Enqueued, Refused> {
        pending.key.as_ref().map_or(Err(Refused::Unmet), |key| self.under(key))
    }
}

/// Stores a batch in one transaction; gives the groups that were not stored.
async fn store<W: Worker>(
    core: &Core<W>,
    slot: i64,
    batch: &[Pending],
) -> Result<HashMap<i64, Found>, StoreError> {
    let rows = rows(batch);
    let sql = &core.sql;
    if batch.iter().any(|pending| !pending.writes.is_empty()) {
        let mut tx = core.store.begin().await?;
        let others = store_in(core, &mut tx, slot, &rows, batch).await?;
        tx.commit().await?;
        return Ok(others);
    }
    let plain = batch.iter().all(|pending| pending.key.is_none() && !pending.guarded);
    let accept = if plain { &sql.accept_plain } else { &sql.accept };
    let found = core.store.one_call(bind(core, accept, &rows, slot)).await?;
    let found = match core.store.dialect() {
        Dialect::Postgres if !plain => {
            let mut connection = core.store.writer().await.map_err(StoreError::in_commit)?;
            sql.not_stored.query().bind(&rows).fetch_all(&mut *connection).await.map_err(uncertain)?
        }
        _ => found,
    };
    others(&found)
}

/// The jobs are committed; only which of them could not be read.
fn uncertain(error: sqlx::Error) -> StoreError {
    StoreError::CommitUnknown(StoreError::from(error).outage().unwrap_or("its result could not be read"))
}

/// The same inside a transaction, with the service's own statements.
pub(crate) async fn store_in<W: Worker>(
    core: &Core<W>,
    tx: &mut Tx,
    slot: i64,
    rows: &str,
    batch: &[Pending],
) -> Result<HashMap<i64, Found>, StoreError> {
    let mut found = bind(core, &core.sql.accept_in, rows, slot).fetch_all(&mut **tx).await?;
    if core.store.dialect() == Dialect::Postgres {
        found = core.sql.not_stored.query().bind(rows).fetch_all(&mut **tx).await?;
    }
    let others = others(&found)?;
    for pending in batch.iter().filter(|pending| !others.contains_key(&pending.group)) {
        for statement in &pending.writes {
            statement.query().execute(&mut **tx).await?;
        }
    }
    Ok(others)
}

pub(crate) fn rows(batch: &[Pending]) -> String {
    let mut rows =
        String::with_capacity(2 + batch.iter().map(|pending| pending.rows.len() + 1).sum::<usize>());
    rows.push('[');
    for (index, pending) in batch.iter().enumerate() {
        rows.push_str(if index == 0 { "" } else { "," });
        rows.push_str(&pending.rows);
    }
    rows.push(']');
    rows
}

fn others(found: &[AnyRow]) -> Result<HashMap<i64, Found>, StoreError> {
    found.iter().map(|row| Ok((row.try_get(0)?, Found::read(row, 1)?))).collect()
}

pub(crate) fn bind<W: Worker>(
    core: &Core<W>,
    sql: &crate::sql::Sql,
    rows: &str,
    slot: i64,
) -> sqlx::query::Query<'static, sqlx::Any, sqlx::any::AnyArguments> {
    let (steady, wall) = (core.store.steady_ms(), core.store.now_ms());
    let identity = core.identity.load(Ordering::Relaxed);
    sql.query().bind(rows.to_owned()).bind(steady).bind(wall).bind(identity).bind(slot)
}

impl Statement {
    pub(crate) fn query(&self) -> sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments> {
        let mut query = sqlx::query(self.sql);
        for value in &self.values {
            query = match value {
                Value::Int(value) => query.bind(*value),
                Value::Text(value) => query.bind(value),
                Value::OptionalText(value) => query.bind(value.as_ref()),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }
}
