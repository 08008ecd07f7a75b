//! Subscribers of several tests beside one another in one process.

use std::sync::OnceLock;
use tracing::{Dispatch, subscriber::NoSubscriber};

/// Keeps two idle subscribers for as long as the tests run; call it before a subscriber is made.
///
/// Where there is only one, tracing asks the current thread's when it decides on a callsite: a thread that
/// has none then decides for all, and another test's lines are lost.
pub fn keep_apart() {
    static IDLE: OnceLock<[Dispatch; 2]> = OnceLock::new();
    IDLE.get_or_init(|| [(); 2].map(|()| Dispatch::new(NoSubscriber::default())));
}
