//! What waits to leave the process, spans or lines: bounded by bytes, taken by one thread, and accounted to the unit at
//! every moment.
//!
//! Pushing never blocks: what does not fit is dropped and counted.

use std::{mem, time::Duration};

use parking_lot::{Condvar, Mutex};

/// So much may wait while as much is being sent: about 15,000 spans or 40,000 lines, half a second of spans and more than
/// a second of lines at the load that the bench accepts. A receiver that is away costs this much memory twice, however
/// long it is.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// From this many bytes on they are sent before the delay is over.
const HURRY_BYTES: usize = 1024 * 1024;
/// A vector that grew beyond this in a burst is given back.
const KEPT_BYTES: usize = 1024 * 1024;

/// What became of all that was pushed: pushed = sent + failed + dropped + queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub pushed: u64,
    pub sent: u64,
    /// Refused by the other side, or not delivered in time.
    pub failed: u64,
    /// Never sent: there was no room, or the process ended.
    pub dropped: u64,
    /// Waiting, or being sent.
    pub queued: u64,
}

#[derive(Debug)]
pub(crate) struct Buffer<T> {
    /// One lock for all threads: they hold it for a copy of some hundred bytes.
    state: Mutex<State<T>>,
    most_queued: u64,
    /// Something waits, or somebody waits for it.
    wake: Condvar,
    /// Some of it was settled.
    settled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    waiting: Vec<T>,
    bytes: usize,
    account: Account,
    hurry: bool,
    closed: bool,
}

impl<T> Buffer<T> {
    pub fn new(most_queued: u64) -> Self {
        let (waiting, account) = (Vec::new(), Account::default());
        let state = Mutex::new(State { waiting, bytes: 0, account, hurry: false, closed: false });
        Self { state, most_queued, wake: Condvar::new(), settled: Condvar::new() }
    }

    /// Counts one, and adds it if there is room for its bytes.
    pub fn push(&self, bytes: usize, add: impl FnOnce(&mut Vec<T>)) {
        let state = &mut *self.state.lock();
        state.account.pushed += 1;
        if state.closed || state.bytes + bytes > MOST_BYTES || state.account.queued >= self.most_queued {
            state.account.dropped += 1;
            return;
        }
        add(&mut state.waiting);
        state.bytes += bytes;
        state.account.queued += 1;
        let hurry = state.bytes >= HURRY_BYTES || state.account.queued >= self.most_queued.div_ceil(2);
        if hurry || state.bytes == bytes {
            state.hurry |= hurry;
            self.wake.notify_one();
        }
    }

    /// Puts all that waits in place of what was `taken` before, once there is any and `delay` went by or somebody is in
    /// a hurry; `false` when nothing more will come.
    pub fn take(&self, taken: &mut Vec<T>, delay: Duration) -> bool {
        taken.clear();
        taken.shrink_to(KEPT_BYTES / size_of::<T>());
        let mut state = self.state.lock();
        self.wake.wait_while(&mut state, |state| state.waiting.is_empty() && !state.hurry);
        self.wake.wait_while_for(&mut state, |state| !state.hurry, delay);
        mem::swap(&mut state.waiting, taken);
        (state.bytes, state.hurry) = (0, false);
        !state.closed
    }

    /// Accounts for as many of those that were taken.
    pub fn settle(&self, sent: u64, failed: u64) {
        let account = &mut self.state.lock().account;
        // If the buffer was closed without waiting for them, they count as dropped.
        if let Some(queued) = account.queued.checked_sub(sent + failed) {
            account.queued = queued;
            account.sent += sent;
            account.failed += failed;
        }
        self.settled.notify_all();
    }

    /// Waits until all that was pushed until now is settled; `false` if that takes longer than `wait`.
    pub fn flush(&self, wait: Duration) -> bool {
        let mut state = self.state.lock();
        let Account { sent, failed, queued, .. } = state.account;
        state.hurry = true;
        self.wake.notify_one();
        let until = sent + failed + queued;
        let is_open = |state: &mut State<T>| state.account.sent + state.account.failed < until;
        !self.settled.wait_while_for(&mut state, is_open, wait).timed_out()
    }

    /// Flushes; what was not settled by then, or comes later, is dropped.
    pub fn close(&self, wait: Duration) -> bool {
        self.state.lock().closed = true;
        let flushed = self.flush(wait);
        let State { waiting, account, .. } = &mut *self.state.lock();
        waiting.clear();
        account.dropped += mem::take(&mut account.queued);
        flushed
    }

    pub fn account(&self) -> Account {
        self.state.lock().account
    }
}
