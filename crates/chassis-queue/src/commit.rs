//! Group commit: callers that arrive while a commit runs share the next one.

use crate::backlog::Reservation;
use crate::enqueue::{Enqueued, Value};
use crate::queue::{Core, commit_span, link_commit};
use crate::sql::{Query, Sql};
use crate::store::Tx;
use crate::{Answer, Enqueue, Fact, Ledger, Refused, Result, Statement, StoreError, Worker, metrics};
use chassis_telemetry::{SpanExt as _, names};
use futures_util::{StreamExt as _, future::join, stream};
use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};
use std::collections::HashMap;
use std::sync::{Arc, atomic::Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument as _, Span, record_all};

/// Enqueues that wait for a commit.
const WAITING: usize = 4096;
/// Enqueues in one commit, at most.
const BATCH: usize = 1024;

/// An enqueue that waits for its commit.
pub(crate) struct Pending<J> {
    pub(crate) enqueue: Enqueue<J>,
    /// As they are counted; those of a batch have no rows yet.
    pub(crate) jobs: usize,
    /// JSON objects, with a comma between two.
    pub(crate) rows: String,
    pub(crate) room: Option<Reservation>,
    pub(crate) span: Span,
    pub(crate) since: Instant,
    pub(crate) answer: oneshot::Sender<Result<Enqueued, Refused>>,
}

/// Starts the committers, which end when the last sender does.
pub(crate) fn spawn<W: Worker>(core: &Arc<Core<W>>, committers: usize) -> mpsc::Sender<Pending<W::Job>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    let batches = stream::unfold(receiver, |mut receiver| async move {
        let mut batch = Vec::new();
        (receiver.recv_many(&mut batch, BATCH).await > 0).then_some((batch, receiver))
    });
    let core = Arc::clone(core);
    let commits = batches.for_each_concurrent(committers, move |batch: Vec<Pending<W::Job>>| {
        let jobs = batch.iter().map(|pending| pending.jobs).sum();
        let span = commit_span(&core.store, Some(jobs));
        let core = Arc::clone(&core);
        async move { commit(&core, batch).await }.instrument(span)
    });
    // Ends with the queue, whose last clone it does not hold.
    #[expect(clippy::disallowed_methods, reason = "each commit has a span and trace of its own")]
    tokio::spawn(commits);
    sender
}

/// Commits a batch and answers its callers.
async fn commit<W: Worker>(core: &Core<W>, mut batch: Vec<Pending<W::Job>>) {
    let begun = Instant::now();
    let counting = core.counting.read().await;
    let stored = core.store.transaction(store(core, &batch));
    let of = batch.iter().filter(|pending| pending.jobs > 0);
    let links = async { link_commit(of.filter_map(|pending| pending.span.trace_context())) };
    let (stored, ()) = join(stored, links).await;
    match stored {
        Ok(others) => {
            let jobs: usize = batch.iter().map(|pending| pending.jobs).sum();
            metrics::committed(&core.store, "accept", jobs, begun.elapsed());
            if jobs > 0 {
                core.committed_jobs(batch.iter().map(|pending| pending.enqueue.channel));
            }
            for mut pending in batch {
                let told = others.get(&pending.enqueue.id.0).cloned().unwrap_or(Ok(Enqueued::New));
                if told == Ok(Enqueued::New) {
                    pending.stored(core);
                }
                pending.tell(told, begun);
            }
        }
        // One statement of a service can be wrong; the others in the batch shall not suffer from it.
        Err(StoreError::Statement(_)) if batch.len() > 1 => {
            drop(counting);
            let rest = batch.split_off(batch.len() / 2);
            Box::pin(commit(core, batch)).await;
            Box::pin(commit(core, rest)).await;
        }
        Err(error) => {
            Span::current().record(names::OTEL_STATUS_CODE, "ERROR");
            let refused = Refused::from(error);
            batch.into_iter().for_each(|pending| pending.tell(Err(refused.clone()), begun));
        }
    }
}

impl<J> Pending<J> {
    fn tell(self, told: Result<Enqueued, Refused>, begun: Instant) {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let waited_ms = ms(begun.saturating_duration_since(self.since));
        record_all!(self.span, waited_ms, committed_ms = ms(begun.elapsed()));
        // This clone must not outlive the caller's span.
        drop(self.span);
        // The caller may have left; what is committed stays committed.
        let _ = self.answer.send(told);
    }

    /// Counts it, once it is committed.
    pub(crate) fn stored<W: Worker>(&mut self, core: &Core<W>) {
        self.room.take().into_iter().for_each(Reservation::keep);
        let Enqueue { channel, priority, .. } = self.enqueue;
        if self.jobs > 0 {
            core.setup.worker.observe(&Fact::Accepted { channel, priority, jobs: self.jobs });
        }
    }
}

/// What callers are told whose groups were not stored.
type Others = HashMap<i64, Result<Enqueued, Refused>>;

/// Stores a batch in one transaction; gives the groups that were not stored.
async fn store<W: Worker>(core: &Core<W>, batch: &[Pending<W::Job>]) -> Result<Others> {
    let sql = &core.sql;
    if batch.iter().any(|pending| !pending.enqueue.writes.is_empty()) {
        let mut tx = core.store.begin().await?;
        let others = store_in(core, &mut tx, batch).await?;
        tx.commit().await?;
        return Ok(others);
    }
    let rows = rows(batch);
    let keyed = batch.iter().any(|pending| pending.enqueue.key.is_some());
    let accept = if keyed { &sql.accept_keyed } else { &sql.accept };
    let counted = core.store.one_call(core.bind(accept, &rows)).await?;
    if all_stored(&counted, batch) {
        return Ok(HashMap::new());
    }
    // The jobs are committed; only which of them could not be known.
    let uncertain = |_| StoreError::CommitUnknown("its result could not be read");
    let mut connection = core.store.writer().await.map_err(uncertain)?;
    not_stored(core, &mut connection, rows).await.map_err(uncertain)
}

/// Whether nothing can be missing: as many jobs were inserted as there are, and no group without one has a key or a
/// guard. Asking which groups are missing costs as much as storing them.
fn all_stored<J>(counted: &[AnyRow], batch: &[Pending<J>]) -> bool {
    let enqueues = || batch.iter().map(|pending| &pending.enqueue);
    let jobs: usize = enqueues().map(|enqueue| enqueue.jobs.len()).sum();
    let stored = counted.first().and_then(|row| row.try_get::<i64, _>(0).ok());
    stored == i64::try_from(jobs).ok()
        && enqueues().all(|it| !it.jobs.is_empty() || it.key.is_none() && it.guard.is_none())
}

async fn not_stored<W: Worker>(
    core: &Core<W>,
    connection: &mut AnyConnection,
    rows: String,
) -> Result<Others> {
    let found = core.sql.not_stored.query().bind(rows).fetch_all(connection).await?;
    let mut others = Others::new();
    for row in &found {
        let (group, same, status, body, location): (_, Option<i64>, Option<i64>, Option<_>, _) =
            FromRow::from_row(row)?;
        let told = match (same, status) {
            (None, _) => Err(Refused::Unmet),
            (Some(0), _) => Err(Refused::KeyReused),
            (_, None) => Err(Refused::InFlight),
            (_, Some(status)) => {
                let answer = Answer { status: status as u16, body: body.unwrap_or_default(), location };
                Ok(Enqueued::Replayed(answer))
            }
        };
        others.insert(group, told);
    }
    Ok(others)
}

/// The same inside a transaction, with the service's own statements.
pub(crate) async fn store_in<W: Worker>(
    core: &Core<W>,
    tx: &mut Tx,
    batch: &[Pending<W::Job>],
) -> Result<Others> {
    let rows = rows(batch);
    let counted = core.bind(&core.sql.accept_in, &rows).fetch_all(&mut **tx).await?;
    let others =
        if all_stored(&counted, batch) { HashMap::new() } else { not_stored(core, tx, rows).await? };
    let mut unexpanded = Ledger::default();
    for pending in batch.iter().filter(|pending| !others.contains_key(&pending.enqueue.id.0)) {
        unexpanded.accepted += (pending.jobs - pending.enqueue.jobs.len()) as i64;
        for statement in &pending.enqueue.writes {
            statement.query().execute(&mut **tx).await?;
        }
    }
    core.write_ledger(tx, unexpanded).await?;
    Ok(others)
}

fn rows<J>(batch: &[Pending<J>]) -> String {
    let rows: Vec<&str> = batch.iter().map(|pending| pending.rows.as_str()).collect();
    format!("[{}]", rows.join(","))
}

impl<W: Worker> Core<W> {
    /// A statement that takes rows of jobs.
    pub(crate) fn bind(&self, sql: &Sql, rows: &str) -> Query<'static> {
        let (steady, wall) = (self.store.steady_ms(), self.store.now_ms());
        let identity = self.identity.load(Ordering::Relaxed);
        sql.query().bind(rows.to_owned()).bind(steady).bind(wall).bind(identity)
    }
}

impl Statement {
    pub(crate) fn query(&self) -> Query<'_> {
        let mut query = sqlx::query(self.sql);
        for value in &self.values {
            query = match value {
                Value::Int(value) => query.bind(*value),
                Value::Text(value) => query.bind(value),
                Value::Bytes(value) => query.bind(value),
            };
        }
        query
    }
}
