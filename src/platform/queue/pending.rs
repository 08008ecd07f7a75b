//! Batches that are not expanded yet, in memory: how many jobs each still owes, and which is next.

use super::{JobId, Priority};
use std::collections::BTreeMap;

/// One batch's jobs that are not in the store as jobs yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub id: JobId,
    pub priority: Priority,
    /// Unix ms.
    pub first_due: i64,
    pub jobs: usize,
    /// Counted in the book as scheduled, and not as due.
    pub scheduled: bool,
    /// Unix ms before which it is not tried again.
    pub not_before: i64,
}

/// All of them. A batch is expanded once it is due, and once the dispatcher has counted up to then: its
/// jobs are therefore never among those that a look finds to have become due, however many they are.
#[derive(Debug, Default)]
pub(super) struct Batches(BTreeMap<JobId, Pending>);

impl Batches {
    pub(super) fn add(&mut self, pending: Pending) {
        if pending.jobs > 0 {
            self.0.insert(pending.id, pending);
        }
    }

    /// Forgets all, to be told anew with [`Self::add`].
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// So many jobs of a batch are jobs of the store now.
    pub(super) fn expanded(&mut self, id: JobId, jobs: usize) {
        if let Some(pending) = self.0.get_mut(&id) {
            pending.jobs = pending.jobs.saturating_sub(jobs);
            if pending.jobs == 0 {
                self.0.remove(&id);
            }
        }
    }

    /// Nothing can be done with a batch before this time (Unix ms).
    pub(super) fn put_off(&mut self, id: JobId, until: i64) {
        if let Some(pending) = self.0.get_mut(&id) {
            pending.not_before = until;
        }
    }

    pub(super) fn contains(&self, id: JobId) -> bool {
        self.0.contains_key(&id)
    }

    /// How many jobs that were counted as scheduled are due by `until`; from now on they count as due.
    pub(super) fn become_due(&mut self, until: i64) -> usize {
        let due = self.0.values_mut().filter(|pending| pending.scheduled && pending.first_due <= until);
        due.map(|pending| {
            pending.scheduled = false;
            pending.jobs
        })
        .sum()
    }

    /// When the next one after `until` is due.
    pub(super) fn next_due(&self, until: i64) -> Option<i64> {
        self.0.values().map(|pending| pending.first_due).filter(|due| *due > until).min()
    }

    /// Which to expand next, out of those that are due by `until`.
    pub(super) fn next(&self, until: i64, now: i64) -> Option<Pending> {
        let due = self.0.values().filter(|pending| pending.first_due <= until && pending.not_before <= now);
        due.min_by_key(|pending| (pending.priority, pending.first_due, pending.id)).copied()
    }

    pub(super) fn jobs(&self) -> usize {
        self.0.values().map(|pending| pending.jobs).sum()
    }

    /// When the longest due one of a priority was due, if one is.
    pub(super) fn oldest(&self, of: Priority, now: i64) -> Option<i64> {
        let due = self.0.values().filter(|pending| pending.priority == of && pending.first_due <= now);
        due.map(|pending| pending.first_due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(id: i64, priority: Priority, first_due: i64) -> Pending {
        Pending { id: JobId(id), priority, first_due, jobs: 10, scheduled: first_due > 5, not_before: 0 }
    }

    #[test]
    fn the_most_urgent_that_is_due_is_next_and_none_before_its_time() {
        let mut batches = Batches::default();
        batches.add(pending(1, Priority::Bulk, 1));
        batches.add(pending(2, Priority::Normal, 2));
        batches.add(pending(3, Priority::Urgent, 9));
        assert_eq!(batches.next(5, 5).map(|next| next.id), Some(JobId(2)));
        assert_eq!((batches.next_due(5), batches.become_due(5)), (Some(9), 0));
        assert_eq!((batches.become_due(9), batches.become_due(9)), (10, 0));
        assert_eq!(batches.next(9, 9).map(|next| next.id), Some(JobId(3)));
        batches.put_off(JobId(3), 20);
        assert_eq!(batches.next(9, 9).map(|next| next.id), Some(JobId(2)));
    }

    #[test]
    fn a_batch_is_gone_with_its_last_job() {
        let mut batches = Batches::default();
        batches.add(pending(1, Priority::Bulk, 3));
        batches.expanded(JobId(1), 4);
        assert_eq!((batches.jobs(), batches.oldest(Priority::Bulk, 5)), (6, Some(3)));
        batches.expanded(JobId(1), 6);
        assert_eq!(
            (batches.jobs(), batches.contains(JobId(1)), batches.oldest(Priority::Bulk, 5)),
            (0, false, None)
        );
    }
}
