//! Batches: one message to many, accepted in one short write and expanded into jobs afterwards.
//!
//! Here stand the words; `fan_out` accepts, `expand` makes the jobs, `pending` counts what is left.

use super::{Answer, IdempotencyKey, JobId, Priority, Status};
use crate::platform::telemetry::TraceContext;

/// Jobs of a chunk, which is what one commit expands: few enough for a commit of about a millisecond, so
/// that an urgent job hardly waits behind one.
const CHUNK: usize = 128;
/// Bytes of a chunk's members from which on it is full as well.
const CHUNK_BYTES: usize = 64 * 1024;

/// The payloads of one notification's jobs.
pub type Payloads = Vec<Vec<u8>>;

/// What a domain submits to fan out: every notification is made of the template and a member.
pub struct Batch {
    /// From [`super::Queue::allocate`] with one part more than there are jobs: the batch's own, then theirs.
    pub id: JobId,
    /// As in a [`super::Submission`].
    pub channel: &'static str,
    pub priority: Priority,
    /// Unix milliseconds; `None` is now.
    pub send_at: Option<i64>,
    /// Unix milliseconds after which no attempt begins.
    pub not_after: i64,
    /// What all notifications share, in the domain's own form.
    pub template: Vec<u8>,
    pub members: Members,
    /// How many were left out, for whoever asks.
    pub skipped: usize,
    pub idempotency: Option<IdempotencyKey>,
    /// Kept under the key.
    pub answer: Answer,
}

/// Those whom a batch goes to, packed.
#[derive(Debug, Default)]
pub struct Members {
    pub(super) chunks: Vec<Chunk>,
    notifications: usize,
    jobs: usize,
}

/// Members that one commit expands. Their bytes are the domain's, one member's after another's.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub members: Vec<u8>,
    pub notifications: usize,
    pub jobs: usize,
}

impl Members {
    /// Adds a member that makes one notification of so many jobs (at least one).
    pub fn add(&mut self, member: &[u8], jobs: usize) {
        let fits = |chunk: &Chunk| chunk.jobs + jobs <= CHUNK && chunk.members.len() < CHUNK_BYTES;
        if !self.chunks.last().is_some_and(fits) {
            self.chunks.push(Chunk::default());
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.members.extend_from_slice(member);
            (chunk.notifications, chunk.jobs) = (chunk.notifications + 1, chunk.jobs + jobs);
        }
        (self.notifications, self.jobs) = (self.notifications + 1, self.jobs + jobs);
    }

    pub fn notifications(&self) -> usize {
        self.notifications
    }

    pub fn jobs(&self) -> usize {
        self.jobs
    }
}

/// A batch as it is stored, with what became of its notifications.
#[derive(Clone, Debug)]
pub struct BatchRecord {
    pub id: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    /// Unix milliseconds.
    pub first_due: i64,
    pub not_after: i64,
    /// That of the request which was accepted; each notification has one of its own.
    pub trace: TraceContext,
    /// Notifications.
    pub accepted: usize,
    pub skipped: usize,
    /// Notifications that are still kept, by status.
    pub counts: Vec<(Status, usize)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packing_keeps_every_member_in_order_and_every_chunk_small(sizes in prop::collection::vec((1usize..=20, 1usize..2000), 0..400)) {
            let mut members = Members::default();
            let mut all = Vec::new();
            for (number, (jobs, bytes)) in sizes.iter().enumerate() {
                let member = vec![number as u8; *bytes];
                members.add(&member, *jobs);
                all.extend(member);
            }
            prop_assert_eq!(members.jobs(), sizes.iter().map(|(jobs, _)| jobs).sum::<usize>());
            prop_assert_eq!(members.notifications(), sizes.len());
            prop_assert_eq!(members.chunks.iter().map(|chunk| chunk.jobs).sum::<usize>(), members.jobs());
            prop_assert!(members.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.jobs)));
            prop_assert_eq!(members.chunks.iter().flat_map(|chunk| chunk.members.clone()).collect::<Vec<_>>(), all);
        }
    }
}
