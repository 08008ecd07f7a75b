//! Waiting for what happens in another process: it can't be awaited, only asked for.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes: what has not happened by then never does.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is something, and fails with `what` was waited for if there never is.
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

/// The same for what is so or not.
pub fn until_so(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
