//! Batches: one template and many members. Accepted in one short commit, expanded into jobs afterwards.

use crate::{
    Enqueue, Enqueued, JobId, JobState, Priority, Queue, Refused, Result, Statement, Value, Worker,
    enqueue::{Row, Start, context, json, read_json},
    model::SCHEDULED,
    queue::{Core, commit_span},
};
use chassis_telemetry::{SpanExt as _, TraceContext, names};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::FromRow;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{sleep, timeout};
use tracing::{Instrument as _, Span};

/// Jobs of a chunk, which is what one commit expands: few enough for a commit of about a millisecond, so that an
/// urgent job hardly waits behind one.
const CHUNK: usize = 64;
/// Bytes of a chunk from which on it is full as well.
const CHUNK_BYTES: usize = 64 * 1024;
/// Between two chunks, so that other commits come between: some 2,500 jobs a second, which is faster than most
/// providers, and felt by nobody.
const BREATH: Duration = Duration::from_millis(25);
/// Between two looks for a batch that is due, or after a failure.
const LOOK: Duration = Duration::from_secs(1);

/// A fan-out: a job's JSON is the template's object and a member's object, put together.
#[derive(Debug)]
pub struct Batch<J> {
    /// What all jobs share; it has no jobs of its own.
    pub enqueue: Enqueue<J>,
    /// A JSON object with the fields that all jobs share, e.g. `serde_json::to_string(&Template { .. })`.
    pub template: String,
    pub members: Members,
    /// How many were left out, for whoever asks.
    pub skipped: usize,
}

/// The members of a batch, packed into chunks of which each is expanded by one commit.
#[derive(Debug, Default)]
pub struct Members {
    chunks: Vec<Chunk>,
    /// Groups added so far.
    pub groups: usize,
    /// Jobs added so far.
    pub jobs: usize,
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
}

/// A batch as it is stored, with what became of its groups.
#[derive(Clone, Debug)]
pub struct BatchRecord {
    pub id: JobId,
    pub info: BatchInfo,
    /// Groups that are still kept, by state; those not expanded yet are `Accepted`.
    pub counts: Vec<(JobState, usize)>,
}

/// What the jobs of a batch share, as it is stored. Times are Unix milliseconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BatchInfo {
    pub channel: String,
    pub priority: Priority,
    pub accepted_at: i64,
    pub first_due: i64,
    pub not_after: i64,
    trace: String,
    pub groups: usize,
    pub skipped: usize,
    template: String,
}

impl BatchInfo {
    /// The accepting request's; each group has a trace of its own.
    pub fn trace(&self) -> TraceContext {
        TraceContext::parse(&self.trace).unwrap_or_else(TraceContext::new_root)
    }
}

const INSERT_BATCH: &str =
    "INSERT INTO batch (id, accepted_at, first_due, state, priority, info) VALUES ($1, $2, $3, $4, $5, $6)";
const INSERT_CHUNK: &str = "INSERT INTO chunk (batch, n, jobs, groups, members) VALUES ($1, $2, $3, $4, $5)";

impl<W: Worker> Queue<W> {
    /// Accepts a batch, all of it or nothing.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn enqueue_batch(&self, batch: Batch<W::Job>) -> Result<Enqueued, Refused> {
        let (core, jobs) = (&self.core, batch.members.jobs);
        let span = core.send_span(&batch.enqueue, jobs);
        let enqueue = core.writing(batch, &span)?;
        let enqueued = self.submit(enqueue, jobs, Start::Later, &span).await;
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
    ) -> Result<Option<BatchRecord>> {
        const BATCH: &str = "SELECT info, (SELECT CAST(coalesce(sum(groups), 0) AS BIGINT) FROM chunk
            WHERE chunk.batch = batch.id) FROM batch WHERE id = $1";
        // A group's states as the bits of one number.
        const GROUPS: &str = "SELECT states, count(*) FROM (SELECT CAST(sum(DISTINCT CAST(1 AS BIGINT) << state) AS BIGINT) AS states
            FROM job WHERE batch = $1 AND batch <> 0 GROUP BY id - part) AS g GROUP BY states";
        let mut reader = self.core.store.read("find batch").await?;
        let row = sqlx::query_as(BATCH).bind(id.0).fetch_optional(&mut *reader).await?;
        let Some((info, unexpanded)): Option<(String, i64)> = row else { return Ok(None) };
        let groups: Vec<(i64, i64)> = sqlx::query_as(GROUPS).bind(id.0).fetch_all(&mut *reader).await?;
        let mut counts = BTreeMap::from([(JobState::Accepted, unexpanded as usize)]);
        for (bits, count) in groups {
            let set = (0..62).filter(|bit| bits >> bit & 1 == 1);
            let states = set.map(JobState::from_stored).collect::<Result<Vec<_>, _>>()?;
            *counts.entry(overall(&states)).or_insert(0) += count as usize;
        }
        let counts = counts.into_iter().filter(|(_, count)| *count > 0).collect();
        Ok(Some(BatchRecord { id, info: read_json(&info)?, counts }))
    }
}

impl<W: Worker> Core<W> {
    /// A batch is accepted as statements that commit together with its key: no job stands in the way of others' yet.
    fn writing(&self, batch: Batch<W::Job>, span: &Span) -> Result<Enqueue<W::Job>> {
        let Batch { mut enqueue, template, members, skipped } = batch;
        let (id, run_at) = (enqueue.id.0, self.later(enqueue.run_at));
        let info = BatchInfo {
            channel: enqueue.channel.to_owned(),
            priority: enqueue.priority,
            accepted_at: self.store.now_ms(),
            first_due: run_at.unwrap_or_else(|| self.store.steady_ms()),
            not_after: enqueue.not_after,
            trace: span.trace_context().unwrap_or_else(TraceContext::new_root).to_string(),
            groups: members.groups,
            skipped,
            template,
        };
        let state = if run_at.is_some() { SCHEDULED } else { JobState::Accepted as i64 };
        let ints = [id, info.accepted_at, info.first_due, state, info.priority as i64].map(Value::Int);
        let values = ints.into_iter().chain([Value::Text(json(&info)?)]).collect();
        enqueue.writes.push(Statement { sql: INSERT_BATCH, values });
        for (n, Chunk { members, groups, jobs }) in (0..).zip(members.chunks) {
            let ints = [id, n, jobs as i64, groups as i64].map(Value::Int);
            let values = ints.into_iter().chain([Value::Text(members)]).collect();
            enqueue.writes.push(Statement { sql: INSERT_CHUNK, values });
        }
        Ok(enqueue)
    }

    /// Turns batches that are due into jobs, a chunk a commit, between everybody else's commits. Never ends.
    pub(crate) async fn expand(&self) {
        loop {
            match self.store.transaction(self.expand_chunk()).await {
                Ok(true) => sleep(BREATH).await,
                Ok(false) => drop(timeout(LOOK, self.unexpanded.notified()).await),
                Err(error) => {
                    tracing::warn!(%error, "a batch could not be expanded; trying again");
                    sleep(LOOK).await;
                }
            }
        }
    }

    /// Jobs are inserted and their chunk is deleted in one transaction: no crash loses or repeats one. `false` if
    /// there was nothing to do.
    async fn expand_chunk(&self) -> Result<bool> {
        if self.store.outage().is_some() {
            return Ok(false);
        }
        let mut tx = self.store.begin().await?;
        let take = self.sql.take_chunk.query().bind(self.store.steady_ms()).bind(self.store.now_ms());
        let Some(chunk) = take.fetch_optional(&mut *tx).await? else {
            tx.rollback().await;
            return Ok(false);
        };
        let (id, members, info): (i64, String, String) = FromRow::from_row(&chunk)?;
        let info: BatchInfo = read_json(&info)?;
        let (rows, spans) = self.expanded(id, &info, &members)?;
        let span = commit_span(&self.store, Some(spans.len()));
        span.link_to(info.trace());
        let insert = self.bind(&self.sql.expand, &rows);
        let stored = async {
            insert.execute(&mut *tx).await?;
            tx.commit().await
        };
        let failed = |span: &Span| _ = span.record(names::OTEL_STATUS_CODE, "ERROR");
        stored.instrument(span).await.inspect_err(|_| spans.iter().for_each(failed))?;
        self.committed_jobs([self.channel(&info.channel)?]);
        Ok(true)
    }

    /// The rows of a chunk's jobs. Each group begins a trace of its own, linked to the batch's; its PRODUCER span ends
    /// with the commit.
    fn expanded(&self, batch: i64, info: &BatchInfo, members: &str) -> Result<(String, Vec<Span>)> {
        let (channel, priority) = (self.channel(&info.channel)?, info.priority);
        let (mut rows, mut spans) = (Vec::new(), Vec::new());
        for line in members.lines() {
            let group: Vec<&RawValue> = read_json(line)?;
            let id = self.store.new_id(group.len());
            let span = self.message_span("create", None, id, channel, priority, group.len());
            span.link_to(info.trace());
            let trace = context(&span);
            for (part, member) in group.iter().enumerate() {
                rows.push(json(&Row {
                    id: id.part(part).0,
                    group_id: id.0,
                    parts: group.len(),
                    batch,
                    channel,
                    priority: priority as u8,
                    state: JobState::Accepted as i64,
                    first_due: Some(info.first_due.min(self.store.steady_ms())),
                    not_after: info.not_after,
                    trace,
                    payload: Some(merge(&info.template, member.get())),
                    ..Row::default()
                })?);
            }
            spans.push(span);
        }
        Ok((format!("[{}]", rows.join(",")), spans))
    }
}

fn fields(object: &str) -> &str {
    let inner = object.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inner.map_or("", str::trim)
}

/// One JSON object with the fields of both.
fn merge(template: &str, member: &str) -> String {
    let (template, member) = (fields(template), fields(member));
    let comma = if template.is_empty() || member.is_empty() { "" } else { "," };
    format!("{{{template}{comma}{member}}}")
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
            prop_assert_eq!(members.jobs, sizes.iter().map(|(jobs, _)| jobs).sum::<usize>());
            prop_assert_eq!(members.groups, sizes.len());
            prop_assert!(members.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.jobs)));
            prop_assert_eq!(members.chunks.iter().map(|chunk| chunk.members.as_str()).collect::<String>(), all);
        }
    }

    #[test]
    fn a_job_has_the_fields_of_the_template_and_of_the_member() {
        assert_eq!(merge(r#"{"text":"a}"}"#, r#" {"to":1} "#), r#"{"text":"a}","to":1}"#);
        assert_eq!(merge("{}", r#"{"to":1}"#), r#"{"to":1}"#);
        assert_eq!(merge("{}", "{}"), "{}");
    }
}
