//! Waiting for what happens in another process: it cannot be awaited, only asked for.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes, also on a busy machine: what has not happened by then never will.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is a value, and panics with `what` was waited for if there never is one.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        thread::sleep(PAUSE);
    }
}

/// The same for a condition.
pub fn until_so(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
