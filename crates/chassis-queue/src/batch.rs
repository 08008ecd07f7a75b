//! Batches: one template and many members. Accepted in one short commit, expanded into jobs afterwards.

use crate::{
    Answer, Enqueue, Enqueued, Fact, JobId, JobState, Key, Priority, Queue, Refused, Statement, StoreError,
    Value, Worker,
    enqueue::{Hex, Row, Start, json},
    model::SCHEDULED,
    queue::{Core, Message, commit_span},
    store::Dialect,
};
use chassis_telemetry::{SpanExt as _, TraceContext, names};
use serde::Serialize;
use sqlx::Row as _;
use std::{fmt::Write as _, time::Duration};
use tokio::time::{sleep, timeout};
use tracing::{Instrument as _, Span};

/// Jobs of a chunk, which is what one commit expands: few enough for a commit of about a millisecond, so that an
/// urgent job hardly waits behind one.
const CHUNK: usize = 128;
/// Bytes of a chunk from which on it is full as well.
const CHUNK_BYTES: usize = 64 * 1024;
/// Between two chunks, so that other commits come between: some 5,000 jobs a second, which is faster than most
/// providers, and felt by nobody.
const BREATH: Duration = Duration::from_millis(20);
/// Between two looks for a batch that is due, or after a failure.
const LOOK: Duration = Duration::from_secs(1);

/// A fan-out: a job's JSON is the template's object and a member's object, put together.
#[derive(Debug)]
pub struct Batch {
    /// From [`Queue::new_id`].
    pub id: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    /// Unix milliseconds; `None` is now.
    pub run_at: Option<i64>,
    /// Unix milliseconds after which no attempt starts.
    pub not_after: i64,
    /// A JSON object with the fields that all jobs share, e.g. `serde_json::to_string(&Template { .. })`.
    pub template: String,
    pub members: Members,
    /// How many were left out, for whoever asks.
    pub skipped: usize,
    pub key: Option<Key>,
    pub answer: Answer,
}

/// The members of a batch, packed into chunks of which each is expanded by one commit.
#[derive(Debug, Default)]
pub struct Members {
    chunks: Vec<Chunk>,
    groups: usize,
    jobs: usize,
}

/// Groups of members as JSON: one array of objects a group, one line each.
#[derive(Debug, Default)]
struct Chunk {
    members: String,
    groups: usize,
    jobs: usize,
}

impl Members {
    /// Adds one group of jobs: each item is a JSON object with the fields in which a job differs from the template.
    ///
    /// # Errors
    /// An item cannot be written as JSON.
    pub fn push<M: Serialize>(&mut self, group: &[M]) -> Result<(), serde_json::Error> {
        let members = serde_json::to_string(group)?;
        let fits = |chunk: &Chunk| chunk.jobs + group.len() <= CHUNK && chunk.members.len() < CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            self.chunks.push(Chunk::default());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.members.push_str(&members);
            chunk.members.push('\n');
            (chunk.groups, chunk.jobs) = (chunk.groups + 1, chunk.jobs + group.len());
        }
        (self.groups, self.jobs) = (self.groups + 1, self.jobs + group.len());
        Ok(())
    }

    /// Groups added so far.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Jobs added so far.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs
    }
}

/// A batch as it is stored, with what became of its groups. Times are Unix milliseconds.
#[derive(Clone, Debug)]
pub struct BatchRecord {
    pub id: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    pub accepted_at: i64,
    pub first_due: i64,
    pub not_after: i64,
    /// The accepting request's; each group has a trace of its own.
    pub trace: TraceContext,
    pub groups: usize,
    pub skipped: usize,
    /// Groups that are still kept, by state; those not expanded yet are `Accepted`.
    pub counts: Vec<(JobState, usize)>,
}

const INSERT_BATCH: &str = "INSERT INTO batch (id, jobs, groups, skipped, channel, priority, state, accepted_at, first_due, not_after, trace, template)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
/// $1 chunks, $2 batch.
const INSERT_CHUNKS_SQLITE: &str = "INSERT INTO chunk (batch, n, jobs, groups, members)
    SELECT $2, v.key, v.value->>0, v.value->>1, v.value->>2 FROM json_each($1) AS v";
const INSERT_CHUNKS_POSTGRES: &str = "INSERT INTO chunk (batch, n, jobs, groups, members)
    SELECT $2, n, CAST(value->>0 AS BIGINT), CAST(value->>1 AS BIGINT), value->>2
    FROM jsonb_array_elements(CAST($1 AS jsonb)) WITH ORDINALITY AS v(value, n)";
const COUNT_BATCH: &str = "UPDATE ledger SET accepted = accepted + $1 WHERE slot = $2";

impl<W: Worker> Queue<W> {
    /// Accepts a batch, all of it or nothing.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn enqueue_batch(&self, batch: Batch) -> Result<Enqueued, Refused> {
        let core = &self.core;
        let message = Message {
            id: batch.id,
            channel: batch.channel,
            priority: batch.priority,
            jobs: batch.members.jobs,
        };
        let span = core.message_span("send", Span::current().id(), &message);
        let run_at = batch.run_at.filter(|at| *at > core.store.now_ms());
        let room = core.backlog.reserve(run_at.is_some(), batch.priority, batch.members.jobs);
        let room = match room {
            Ok(room) => room,
            Err(retry_after) => {
                let full = Refused::BacklogFull { retry_after };
                return self.repeated_or(batch.key.as_ref(), full).instrument(span).await;
            }
        };
        let (channel, priority, jobs, context) =
            (batch.channel, batch.priority, batch.members.jobs, span.trace_context());
        let accepted = Fact::Accepted { channel, priority, jobs };
        let enqueue = core.batch_enqueue(batch, run_at, context.unwrap_or_else(TraceContext::new_root))?;
        let enqueued = async {
            let (mut pending, answered) = core.pending(&enqueue, Start::Later, &span)?;
            (pending.room, pending.fact, pending.context) = (Some(room), Some(accepted), context);
            self.send(pending, answered).await
        };
        let enqueued = enqueued.instrument(span.clone()).await;
        core.unexpanded.notify_one();
        enqueued
    }

    /// A batch and its groups by state; `overall` makes one state of those of a group's jobs (each given once).
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn batch(
        &self,
        id: JobId,
        overall: fn(&[JobState]) -> JobState,
    ) -> Result<Option<BatchRecord>, StoreError> {
        const BATCH: &str = "SELECT channel, CAST(priority AS BIGINT), accepted_at, first_due, not_after, trace, groups, skipped,
            (SELECT CAST(coalesce(sum(groups), 0) AS BIGINT) FROM chunk WHERE chunk.batch = batch.id) FROM batch WHERE id = $1";
        // A group's states as the bits of one number.
        const GROUPS: &str = "SELECT states, count(*) FROM (SELECT CAST(sum(DISTINCT CAST(1 AS BIGINT) << state) AS BIGINT) AS states
            FROM job WHERE batch = $1 AND batch <> 0 GROUP BY id - part) AS g GROUP BY states";
        let mut reader = self.core.store.read("find batch").await?;
        let Some(row) = sqlx::query(BATCH).bind(id.0).fetch_optional(&mut *reader).await? else {
            return Ok(None);
        };
        let groups = sqlx::query(GROUPS).bind(id.0).fetch_all(&mut *reader).await?;
        let mut counts = std::collections::BTreeMap::new();
        let unexpanded: i64 = row.try_get(8)?;
        if unexpanded > 0 {
            counts.insert(JobState::Accepted, unexpanded as usize);
        }
        for group in &groups {
            let (bits, count): (i64, i64) = (group.try_get(0)?, group.try_get(1)?);
            let states: Vec<_> = (0..62)
                .filter(|bit| bits >> bit & 1 == 1)
                .filter_map(|state| JobState::from_stored(state).ok())
                .collect();
            *counts.entry(overall(&states)).or_insert(0) += count as usize;
        }
        let trace: Vec<u8> = row.try_get(5)?;
        Ok(Some(BatchRecord {
            id,
            channel: self.core.channel(row.try_get(0)?)?,
            priority: Priority::from_stored(row.try_get(1)?)?,
            accepted_at: row.try_get(2)?,
            first_due: row.try_get(3)?,
            not_after: row.try_get(4)?,
            trace: TraceContext::from_bytes(&trace).unwrap_or_else(TraceContext::new_root),
            groups: row.try_get::<i64, _>(6)? as usize,
            skipped: row.try_get::<i64, _>(7)? as usize,
            counts: counts.into_iter().collect(),
        }))
    }
}

/// What the jobs of a batch share.
struct Shared {
    id: i64,
    channel: &'static str,
    priority: Priority,
    first_due: i64,
    not_after: i64,
    trace: TraceContext,
    template: String,
}

impl<W: Worker> Core<W> {
    /// A batch is accepted as statements that commit together with its key: no job stands in the way of others' yet.
    fn batch_enqueue(
        &self,
        batch: Batch,
        run_at: Option<i64>,
        trace: TraceContext,
    ) -> Result<Enqueue<W::Job>, Refused> {
        let Batch { id, channel, priority, not_after, template, members, skipped, key, answer, .. } = batch;
        let chunks: Vec<_> =
            members.chunks.iter().map(|chunk| (chunk.jobs, chunk.groups, &chunk.members)).collect();
        let chunks =
            serde_json::to_string(&chunks).map_err(|error| StoreError::Statement(error.to_string()))?;
        let state = if run_at.is_some() { SCHEDULED } else { JobState::Accepted as i64 };
        let int = |number: usize| Value::Int(number as i64);
        let values = vec![
            Value::Int(id.0),
            int(members.jobs),
            int(members.groups),
            int(skipped),
            Value::Text(channel.to_owned()),
            Value::Int(priority as i64),
            Value::Int(state),
            Value::Int(self.store.now_ms()),
            Value::Int(run_at.unwrap_or_else(|| self.store.steady_ms())),
            Value::Int(not_after),
            Value::Bytes(trace.to_bytes().to_vec()),
            Value::Text(template),
        ];
        let insert_chunks = match self.store.dialect() {
            Dialect::Sqlite => INSERT_CHUNKS_SQLITE,
            Dialect::Postgres => INSERT_CHUNKS_POSTGRES,
        };
        let count = vec![int(members.jobs), Value::Int(self.shared_slot())];
        let writes = vec![
            Statement { sql: INSERT_BATCH, values },
            Statement { sql: insert_chunks, values: vec![Value::Text(chunks), Value::Int(id.0)] },
            Statement { sql: COUNT_BATCH, values: count },
        ];
        Ok(Enqueue {
            id,
            channel,
            priority,
            run_at,
            not_after,
            jobs: Vec::new(),
            key,
            answer,
            guard: None,
            writes,
        })
    }

    /// Turns batches that are due into jobs, a chunk a commit, between everybody else's commits. Never ends.
    pub(crate) async fn expand(&self) {
        loop {
            let wait = match self.expand_chunk().await {
                Ok(true) => BREATH,
                Ok(false) => LOOK,
                Err(error) => {
                    tracing::warn!(%error, "a batch could not be expanded; trying again");
                    LOOK
                }
            };
            // A batch that is accepted meanwhile does not shorten a breath.
            if wait == BREATH {
                sleep(BREATH).await;
            } else {
                let _ = timeout(wait, self.unexpanded.notified()).await;
            }
        }
    }

    /// Jobs are inserted and their chunk is deleted in one transaction: no crash loses or repeats one. `false` if
    /// there was nothing to do.
    async fn expand_chunk(&self) -> Result<bool, StoreError> {
        const BATCH: &str = "SELECT channel, CAST(priority AS BIGINT), first_due, not_after, trace, template FROM batch WHERE id = $1";
        if self.store.outage().is_some() || self.counts.lock().pending == 0 && !self.chunk_is_due().await? {
            return Ok(false);
        }
        let mut tx = self.store.begin().await?;
        let take = self.sql.take_chunk.query().bind(self.store.steady_ms()).bind(self.store.now_ms());
        let Some(chunk) = take.fetch_optional(&mut *tx).await? else {
            tx.rollback().await;
            return Ok(false);
        };
        let (id, members): (i64, String) = (chunk.try_get(0)?, chunk.try_get(1)?);
        let row = sqlx::query(BATCH).bind(id).fetch_one(&mut *tx).await?;
        let trace: Vec<u8> = row.try_get(4)?;
        let shared = Shared {
            id,
            channel: self.channel(row.try_get(0)?)?,
            priority: Priority::from_stored(row.try_get(1)?)?,
            first_due: row.try_get(2)?,
            not_after: row.try_get(3)?,
            trace: TraceContext::from_bytes(&trace).unwrap_or_else(TraceContext::new_root),
            template: row.try_get(5)?,
        };
        let (rows, spans) = self.expanded(&shared, &members)?;
        let span = commit_span(&self.store, spans.len(), std::iter::once(shared.trace));
        let insert = self.bind(&self.sql.expand, &rows, 0);
        let stored = async {
            insert.execute(&mut *tx).await?;
            tx.wakes = true;
            tx.commit().await
        };
        stored.instrument(span).await.inspect_err(|_| {
            for span in &spans {
                span.record(names::OTEL_STATUS_CODE, "ERROR");
            }
        })?;
        self.announce.notify_one();
        Ok(true)
    }

    async fn chunk_is_due(&self) -> Result<bool, StoreError> {
        let mut reader = self.store.reader().await?;
        Ok(sqlx::query("SELECT 1 FROM chunk LIMIT 1").fetch_optional(&mut *reader).await?.is_some())
    }

    /// The rows of a chunk's jobs. Each group begins a trace of its own, linked to the batch's; its PRODUCER span ends
    /// with the commit.
    fn expanded(&self, shared: &Shared, members: &str) -> Result<(String, Vec<Span>), StoreError> {
        let damaged = |error: serde_json::Error| StoreError::Statement(format!("a batch's members: {error}"));
        let (mut rows, mut spans) = ("[".to_owned(), Vec::new());
        for line in members.lines() {
            let group: Vec<&serde_json::value::RawValue> = serde_json::from_str(line).map_err(damaged)?;
            let id = self.store.new_id(group.len());
            let Shared { channel, priority, .. } = *shared;
            let message = Message { id, channel, priority, jobs: group.len() };
            let span = self.message_span("create", None, &message);
            span.link_to(shared.trace);
            let context = span.trace_context().unwrap_or_else(TraceContext::new_root);
            spans.push(span);
            for (part, member) in group.iter().enumerate() {
                let row = Row {
                    id: id.part(part).0,
                    group_id: id.0,
                    parts: group.len(),
                    batch: shared.id,
                    channel,
                    priority: priority as u8,
                    state: JobState::Accepted as i64,
                    first_due: Some(shared.first_due),
                    not_after: shared.not_after,
                    trace: Hex(context.to_bytes().to_vec()),
                    payload: Some(merge(&shared.template, member.get())),
                    ..Row::default()
                };
                rows.push_str(if rows.len() == 1 { "" } else { "," });
                rows.push_str(&json(&row)?);
            }
        }
        rows.push(']');
        Ok((rows, spans))
    }
}

/// One JSON object with the fields of both.
fn merge(template: &str, member: &str) -> String {
    let fields = |object: &str| {
        let inner = object.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inner.map_or("", str::trim).to_owned()
    };
    let (template, member) = (fields(template), fields(member));
    let comma = if template.is_empty() || member.is_empty() { "" } else { "," };
    let mut merged = String::with_capacity(template.len() + member.len() + 3);
    let _ = write!(merged, "{{{template}{comma}{member}}}");
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_every_member_in_order_and_every_chunk_small(
            sizes in prop::collection::vec((1usize..=20, 1usize..2000), 0..40),
        ) {
            let mut members = Members::default();
            let mut all = String::new();
            for (number, (jobs, bytes)) in sizes.iter().enumerate() {
                let group = vec![format!("{number}{}", "x".repeat(*bytes)); *jobs];
                members.push(&group).unwrap();
                all.push_str(&serde_json::to_string(&group).unwrap());
                all.push('\n');
            }
            prop_assert_eq!(members.jobs(), sizes.iter().map(|(jobs, _)| jobs).sum::<usize>());
            prop_assert_eq!(members.groups(), sizes.len());
            prop_assert!(members.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.jobs)));
            prop_assert_eq!(members.chunks.iter().map(|chunk| &chunk.members[..]).collect::<String>(), all);
        }
    }

    #[test]
    fn a_job_has_the_fields_of_the_template_and_of_the_member() {
        assert_eq!(merge(r#"{"text":"a}"}"#, r#" {"to":1} "#), r#"{"text":"a}","to":1}"#);
        assert_eq!(merge("{}", r#"{"to":1}"#), r#"{"to":1}"#);
        assert_eq!(merge("{}", "{}"), "{}");
    }
}
