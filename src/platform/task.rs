//! Tasks and threads under the span that started them, and background tasks that are never silently gone:
//! named, their panics counted and logged.

use crate::platform::{
    shutdown::{Cause, Shutdown},
    telemetry::names,
};
use futures_util::FutureExt;
use metrics::Counter;
use std::{io, panic::AssertUnwindSafe};
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span};

/// Spawns a future under the current span, which a plain `tokio::spawn` would lose.
pub fn spawn<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    #[expect(clippy::disallowed_methods, reason = "the one place that adds the span")]
    tokio::spawn(future.instrument(Span::current()))
}

/// Runs what blocks where it may, under the current span.
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    let span = Span::current();
    #[expect(clippy::disallowed_methods, reason = "the one place that adds the span")]
    tokio::task::spawn_blocking(move || span.in_scope(work))
}

/// Runs what blocks and serves many callers, so that it belongs to none of their spans: it would keep one open.
pub fn spawn_blocking_for_many<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    #[expect(clippy::disallowed_methods, reason = "each piece of work is done in its own caller's span")]
    tokio::task::spawn_blocking(work)
}

/// Starts a named thread under the current span.
///
/// # Errors
/// If the system has no thread to give.
pub fn spawn_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<std::thread::JoinHandle<T>> {
    let span = Span::current();
    std::thread::Builder::new().name(name.to_owned()).spawn(move || span.in_scope(work))
}

/// The service's background tasks. Cheap to clone.
#[derive(Clone)]
pub struct Tasks {
    shutdown: Shutdown,
    tracker: TaskTracker,
}

impl Tasks {
    /// Tasks whose failure may begin `shutdown`.
    pub fn new(shutdown: Shutdown) -> Self {
        Self { shutdown, tracker: TaskTracker::new() }
    }

    /// A task that the service can live without: a panic is logged and counted, and ends it alone.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let panics = panics(name);
        spawn(self.tracker.track_future(async move {
            survive(name, &panics, task).await;
        }));
    }

    /// A task that the service can't live without: its panic, or its end before a shutdown has begun,
    /// begins one that exits with 70.
    pub fn spawn_essential(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (shutdown, panics) = (self.shutdown.clone(), panics(name));
        spawn(self.tracker.track_future(async move {
            let finished = survive(name, &panics, task).await;
            if !finished || shutdown.cause().is_none() {
                shutdown.begin(Cause::Failed { part: name });
            }
        }));
    }

    /// Resolves when every task has ended.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The task's series, which is there with 0 before anything happens.
fn panics(name: &'static str) -> Counter {
    metrics::counter!(names::TASK_PANICS, names::LABEL_TASK => name)
}

/// Whether the task came to its end without a panic.
async fn survive(name: &'static str, panics: &Counter, task: impl Future<Output = ()>) -> bool {
    let finished = AssertUnwindSafe(task).catch_unwind().await.is_ok();
    if !finished {
        panics.increment(1);
        tracing::error!(task = name, "a background task panicked");
    }
    finished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_panic_of_an_essential_task_stops_the_service_and_another_one_does_not() {
        let shutdown = Shutdown::default();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn("helpful", async { panic!("as the test wants") });
        tasks.ended().await;
        assert_eq!(shutdown.cause(), None);
        tasks.spawn_essential("essential", async { panic!("as the test wants") });
        tasks.ended().await;
        assert_eq!(shutdown.cause(), Some(Cause::Failed { part: "essential" }));
    }

    #[tokio::test]
    async fn an_essential_task_may_end_once_the_service_stops_but_not_before() {
        let shutdown = Shutdown::default();
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn_essential("worker", async {});
        tasks.ended().await;
        assert_eq!(shutdown.cause(), Some(Cause::Failed { part: "worker" }));

        let shutdown = Shutdown::default();
        shutdown.begin(Cause::Asked);
        let tasks = Tasks::new(shutdown.clone());
        tasks.spawn_essential("worker", async {});
        tasks.ended().await;
        assert_eq!(shutdown.cause(), Some(Cause::Asked));
    }
}
