//! The latest report of each patient that was asked for of late, in memory alone. It is asked only where the
//! ePRO service cannot answer; when that is, is not decided here.

use super::model::{PatientId, Report};
use crate::platform::telemetry::names;
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

/// The most that is remembered, in bytes: ten thousand reports of 32 KiB would be 320 MB.
pub const MOST_BYTES: usize = 64 * 1024 * 1024;
/// What an entry takes beside its texts, in bytes: both maps' nodes, and the heads of texts and allocations.
const OVERHEAD: usize = 384;

/// A report from memory.
#[derive(Clone, Debug)]
pub struct Remembered {
    pub report: Arc<Report>,
    /// Since it was told.
    pub age: Duration,
}

/// Bounded by entries and by bytes: what was not used for the longest time goes first.
pub struct Cache {
    most_entries: usize,
    most_bytes: usize,
    state: Mutex<State>,
    entries: Gauge,
    bytes: Gauge,
    evictions: Counter,
}

#[derive(Default)]
struct State {
    entries: HashMap<PatientId, Entry>,
    /// Whom each use was of; the first is the longest ago.
    uses: BTreeMap<u64, PatientId>,
    next_use: u64,
    bytes: usize,
}

struct Entry {
    report: Arc<Report>,
    told: Instant,
    used: u64,
    bytes: usize,
}

impl Cache {
    /// Make it after the metrics recorder is installed: handles are kept.
    pub fn new(most_entries: usize, most_bytes: usize) -> Self {
        Self {
            most_entries,
            most_bytes,
            state: Mutex::default(),
            entries: gauge!(names::CTMS_CACHE_ENTRIES),
            bytes: gauge!(names::CTMS_CACHE_BYTES),
            evictions: counter!(names::CTMS_CACHE_EVICTIONS),
        }
    }

    /// Remembers a report instead of the patient's last one.
    pub fn put(&self, patient: &PatientId, report: Arc<Report>, now: Instant) {
        let texts = 2 * patient.as_str().len() + report.id.len() + report.content.len();
        let bytes = texts + OVERHEAD;
        let mut state = self.state.lock();
        state.remove(patient);
        let used = state.note_use(patient);
        state.bytes += bytes;
        state.entries.insert(patient.clone(), Entry { report, told: now, used, bytes });
        while state.entries.len() > self.most_entries || state.bytes > self.most_bytes {
            let Some((_, oldest)) = state.uses.pop_first() else { break };
            state.remove(&oldest);
            self.evictions.increment(1);
        }
        self.tell(&state);
    }

    /// The patient's report, if it is remembered.
    pub fn get(&self, patient: &PatientId, now: Instant) -> Option<Remembered> {
        let mut state = self.state.lock();
        let last_use = state.entries.get(patient)?.used;
        state.uses.remove(&last_use);
        let used = state.note_use(patient);
        let entry = state.entries.get_mut(patient)?;
        entry.used = used;
        let age = now.saturating_duration_since(entry.told);
        Some(Remembered { report: Arc::clone(&entry.report), age })
    }

    /// Forgets a patient's report.
    pub fn forget(&self, patient: &PatientId) {
        let mut state = self.state.lock();
        state.remove(patient);
        self.tell(&state);
    }

    /// Under the lock, so that the last word is the true one.
    fn tell(&self, state: &State) {
        self.entries.set(state.entries.len() as f64);
        self.bytes.set(state.bytes as f64);
    }
}

impl State {
    fn note_use(&mut self, patient: &PatientId) -> u64 {
        let this = self.next_use;
        self.next_use += 1;
        self.uses.insert(this, patient.clone());
        this
    }

    fn remove(&mut self, patient: &PatientId) {
        if let Some(entry) = self.entries.remove(patient) {
            self.uses.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn patient(number: u8) -> PatientId {
        format!("p-{number}").parse().unwrap()
    }

    fn report(content: &str) -> Arc<Report> {
        Arc::new(Report { id: "r".to_owned(), content: content.to_owned(), submitted_at: 0 })
    }

    #[test]
    fn age_counts_from_when_it_was_told_and_a_new_report_begins_anew() {
        let (cache, begin) = (Cache::new(2, MOST_BYTES), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        cache.put(&patient(1), report("a"), at(0));
        assert_eq!(cache.get(&patient(1), at(7)).unwrap().age, Duration::from_secs(7));
        cache.put(&patient(1), report("b"), at(10));
        let found = cache.get(&patient(1), at(11)).unwrap();
        assert_eq!((found.age, found.report.content.as_str()), (Duration::from_secs(1), "b"));
        cache.forget(&patient(1));
        assert!(cache.get(&patient(1), at(12)).is_none());
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let (cache, now) = (Cache::new(2, MOST_BYTES), Instant::now());
        cache.put(&patient(1), report("a"), now);
        cache.put(&patient(2), report("b"), now);
        cache.get(&patient(1), now);
        cache.put(&patient(3), report("c"), now);
        let there = [1, 2, 3].map(|number| cache.get(&patient(number), now).is_some());
        assert_eq!(there, [true, false, true]);
    }

    #[test]
    fn long_reports_are_bounded_by_their_bytes() {
        let (cache, now) = (Cache::new(10_000, 100 * 1024), Instant::now());
        let long = "x".repeat(32 * 1024);
        (0..10).for_each(|number| cache.put(&patient(number), report(&long), now));
        let there = (0..10).filter(|number| cache.get(&patient(*number), now).is_some());
        assert_eq!(there.collect::<Vec<_>>(), [7, 8, 9]);
        // One that is larger than everything is simply not kept.
        cache.put(&patient(1), report(&"x".repeat(200 * 1024)), now);
        assert!(cache.get(&patient(1), now).is_none());
        assert_eq!(cache.state.lock().bytes, 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, usize),
        Get(u8),
        Forget(u8),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20u8, 0..2_000usize).prop_map(|(patient, length)| Step::Put(patient, length)),
            (0..20u8).prop_map(Step::Get),
            (0..20u8).prop_map(Step::Forget),
        ]
    }

    proptest! {
        #[test]
        fn bounds_hold_after_every_step_and_it_agrees_with_a_plain_list(steps in prop::collection::vec(step(), 0..200)) {
            const ENTRIES: usize = 5;
            const BYTES: usize = 6_000;
            let (cache, now) = (Cache::new(ENTRIES, BYTES), Instant::now());
            // Least recently used first.
            let mut model: Vec<(u8, usize)> = Vec::new();
            let size = |patient: u8, length: usize| OVERHEAD + 1 + 2 * format!("p-{patient}").len() + length;
            for step in steps {
                match step {
                    Step::Put(number, length) => {
                        cache.put(&patient(number), report(&"x".repeat(length)), now);
                        model.retain(|(other, _)| *other != number);
                        model.push((number, length));
                        while model.len() > ENTRIES || model.iter().map(|(n, l)| size(*n, *l)).sum::<usize>() > BYTES {
                            model.remove(0);
                        }
                    }
                    Step::Get(number) => {
                        let found = cache.get(&patient(number), now).map(|found| found.report.content.len());
                        let at = model.iter().position(|(other, _)| *other == number);
                        prop_assert_eq!(found, at.map(|at| model[at].1));
                        if let Some(at) = at {
                            let used = model.remove(at);
                            model.push(used);
                        }
                    }
                    Step::Forget(number) => {
                        cache.forget(&patient(number));
                        model.retain(|(other, _)| *other != number);
                    }
                }
                let state = cache.state.lock();
                prop_assert!(state.entries.len() <= ENTRIES && state.bytes <= BYTES);
                prop_assert_eq!(state.bytes, model.iter().map(|(n, l)| size(*n, *l)).sum::<usize>());
                prop_assert_eq!((state.entries.len(), state.uses.len()), (model.len(), model.len()));
            }
        }
    }
}
