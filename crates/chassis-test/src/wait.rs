//! Waiting for what happens in another process: it cannot be awaited, only asked for.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes, also on a busy machine: what has not happened by then never will.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is a value, and panics with `what` was waited for if there never is one.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    until_found(what, || ask().ok_or("nothing"))
}

/// The same, which says what was there instead.
pub fn until_found<T, E: Display>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let started = Instant::now();
    loop {
        match ask() {
            Ok(found) => return found,
            Err(other) => {
                assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}, but {other}")
            }
        }
        thread::sleep(PAUSE);
    }
}

/// The same for a condition.
pub fn until_so(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
