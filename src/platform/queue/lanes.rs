//! Jobs that are due, in memory: one lane a priority, taken by weight. What does not fit stays in the
//! store and is read again when a lane runs low.

use super::{JobId, Priority};
use crate::platform::telemetry::TraceContext;
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

/// Jobs in a lane at most, and the bytes of their payloads.
const JOBS: usize = 4096;
const BYTES: usize = 8 << 20;
/// A lane with more in the store is read again below this.
const LOW: usize = JOBS / 4;
/// How often each priority is taken when all wait, in [`Priority::ALL`]'s order: urgent never waits
/// behind a study, and a study never starves.
const WEIGHTS: [i64; 3] = [16, 4, 1];

/// A job that is due, as a worker needs it.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub id: JobId,
    pub notification: JobId,
    pub channel: &'static str,
    pub priority: Priority,
    /// Attempts that are spent.
    pub spent: u32,
    /// Unix ms: the later of accept and `sendAt`.
    pub first_due: i64,
    /// Unix ms.
    pub not_after: i64,
    pub trace: TraceContext,
    pub payload: Arc<[u8]>,
    /// The attempt before, which this one's span links to.
    pub last_attempt: Option<TraceContext>,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Ready>,
    bytes: usize,
    /// The store holds due jobs of this priority that are not in memory.
    spilled: bool,
    /// A job was left to the store since the refill that is under way began.
    missed: bool,
    refilling: bool,
    credit: i64,
}

/// All lanes, and which jobs are in memory: in a lane or in a worker's hand.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: [Lane; 3],
    held: HashSet<JobId>,
}

impl Lanes {
    /// Takes a job that has just become due, or leaves it to the store if its lane is full.
    pub(super) fn push(&mut self, job: Ready) {
        let lane = &mut self.lanes[job.priority as usize];
        // Once some wait in the store, newer ones have to wait behind them.
        if lane.spilled || lane.is_full() {
            lane.spilled = true;
            lane.missed = true;
        } else if self.held.insert(job.id) {
            lane.push(job);
        }
    }

    /// Whether [`Self::push`] would take a job of this priority, and not leave it to the store.
    pub(super) fn takes(&self, of: Priority) -> bool {
        let lane = &self.lanes[of as usize];
        !lane.spilled && !lane.is_full()
    }

    /// The store may hold due jobs of this priority that are not in memory.
    pub(super) fn spilled(&mut self, of: Priority) {
        let lane = &mut self.lanes[of as usize];
        lane.spilled = true;
        lane.missed = true;
    }

    /// A priority whose lane runs low while the store has more, and how many jobs to read for it.
    /// The caller has to call [`Self::refill`] or [`Self::refill_failed`] afterwards.
    pub(super) fn begin_refill(&mut self) -> Option<(Priority, usize)> {
        let held = self.held.len();
        Priority::ALL.into_iter().find_map(|of| {
            let lane = &mut self.lanes[of as usize];
            if !lane.spilled || lane.refilling || lane.jobs.len() > LOW {
                return None;
            }
            (lane.refilling, lane.missed) = (true, false);
            // Jobs already in memory are read as well and skipped.
            Some((of, JOBS + held))
        })
    }

    /// Takes what was read from the store; `all` if it was everything that is due.
    pub(super) fn refill(&mut self, of: Priority, jobs: Vec<Ready>, all: bool) {
        let lane = &mut self.lanes[of as usize];
        lane.refilling = false;
        let mut left = false;
        for job in jobs {
            if lane.is_full() {
                left = true;
                break;
            }
            if self.held.insert(job.id) {
                lane.push(job);
            }
        }
        lane.spilled = left || !all || lane.missed;
    }

    pub(super) fn refill_failed(&mut self, of: Priority) {
        self.lanes[of as usize].refilling = false;
    }

    /// The next job by weight (smooth weighted round-robin), out of all lanes or of all but `bulk`. It stays
    /// held until [`Self::release`].
    pub(super) fn pop(&mut self, bulk: bool) -> Option<Ready> {
        let mut total = 0;
        let mut best: Option<&mut Lane> = None;
        let open = if bulk { &mut self.lanes[..] } else { &mut self.lanes[..Priority::Bulk as usize] };
        for (lane, weight) in open.iter_mut().zip(WEIGHTS).filter(|(lane, _)| !lane.jobs.is_empty()) {
            lane.credit += weight;
            total += weight;
            if best.as_ref().is_none_or(|best| lane.credit > best.credit) {
                best = Some(lane);
            }
        }
        let lane = best?;
        lane.credit -= total;
        let job = lane.jobs.pop_front()?;
        lane.bytes -= job.payload.len();
        Some(job)
    }

    /// Gives back a job that could not be begun, at the head of its lane.
    pub(super) fn put_back(&mut self, job: Ready) {
        let lane = &mut self.lanes[job.priority as usize];
        lane.bytes += job.payload.len();
        lane.jobs.push_front(job);
    }

    /// The job is no longer in memory.
    pub(super) fn release(&mut self, id: JobId) {
        self.held.remove(&id);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.jobs.is_empty())
    }

    /// When the longest due job of a lane that was never attempted was first due (Unix ms).
    pub(super) fn first_unattempted(&self, of: Priority) -> Option<i64> {
        let mut jobs = self.lanes[of as usize].jobs.iter();
        jobs.find(|job| job.spent == 0 && job.last_attempt.is_none()).map(|job| job.first_due)
    }

    /// When the job at the head of a lane was first due (Unix ms).
    pub(super) fn head(&self, of: Priority) -> Option<i64> {
        self.lanes[of as usize].jobs.front().map(|job| job.first_due)
    }
}

impl Lane {
    fn is_full(&self) -> bool {
        self.jobs.len() >= JOBS || self.bytes >= BYTES
    }

    fn push(&mut self, job: Ready) {
        self.bytes += job.payload.len();
        self.jobs.push_back(job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(number: i64, priority: Priority) -> Ready {
        Ready {
            id: JobId(number),
            notification: JobId(number),
            channel: "test",
            priority,
            spent: 0,
            first_due: number,
            not_after: i64::MAX,
            trace: TraceContext::from_bytes(&[1; TraceContext::BYTES]).unwrap(),
            payload: Arc::from(vec![0; 8]),
            last_attempt: None,
        }
    }

    #[test]
    fn urgent_goes_first_and_bulk_is_never_starved() {
        let mut lanes = Lanes::default();
        for number in 0..300 {
            lanes.push(job(number, Priority::ALL[number as usize % 3]));
        }
        let mut taken = [0; 3];
        for _ in 0..21 {
            taken[lanes.pop(true).unwrap().priority as usize] += 1;
        }
        assert_eq!(taken, [16, 4, 1]);
        let rest = std::iter::from_fn(|| lanes.pop(false));
        assert!(rest.map(|job| job.priority).all(|of| of != Priority::Bulk));
        assert!(lanes.pop(true).is_some_and(|job| job.priority == Priority::Bulk));
    }

    #[test]
    fn one_priority_alone_keeps_its_order() {
        let mut lanes = Lanes::default();
        (0..10).for_each(|number| lanes.push(job(number, Priority::Bulk)));
        let order: Vec<i64> = std::iter::from_fn(|| lanes.pop(true)).map(|job| job.id.0).collect();
        assert_eq!(order, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn what_does_not_fit_is_read_from_the_store_and_nothing_twice() {
        let mut lanes = Lanes::default();
        let all = JOBS as i64 + 10;
        (0..all).for_each(|number| lanes.push(job(number, Priority::Normal)));
        assert_eq!(lanes.begin_refill(), None, "the lane is still full");
        let mut taken: Vec<i64> = (0..JOBS - LOW).map(|_| lanes.pop(true).unwrap().id.0).collect();
        let (of, limit) = lanes.begin_refill().unwrap();
        assert!(limit as i64 >= all);
        lanes.push(job(all, Priority::Normal));
        lanes.refill(of, (0..all).map(|number| job(number, Priority::Normal)).collect(), true);
        taken.extend(std::iter::from_fn(|| lanes.pop(true)).map(|job| job.id.0));
        assert_eq!(taken, (0..all).collect::<Vec<_>>());
        assert!(lanes.begin_refill().is_some(), "one came while the refill was under way");
    }

    #[test]
    fn a_lane_holds_no_more_bytes_than_its_bound() {
        let mut lanes = Lanes::default();
        for number in 0..20 {
            let payload = Arc::from(vec![0; 1 << 20]);
            lanes.push(Ready { payload, ..job(number, Priority::Urgent) });
        }
        assert_eq!(std::iter::from_fn(|| lanes.pop(true)).count(), BYTES >> 20);
    }
}
