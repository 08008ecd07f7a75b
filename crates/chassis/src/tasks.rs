//! Background tasks that never disappear silently: they are named, and their panics are logged and counted.

#![expect(clippy::disallowed_methods, reason = "the place that keeps the span")]

use crate::{Cause, Shutdown};
use chassis_telemetry::catalogue::{Metric, Values, counter};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use tokio::task::JoinHandle;
use tracing::Instrument as _;

pub(crate) const PANICS: Metric = counter("task_panics_total", "Background tasks that panicked.")
    .labels(&[("task", Values::Open("the tasks of the service"))]);

/// The background tasks of a service. Cheap to clone.
#[derive(Clone)]
pub struct Tasks(Shutdown);

impl Tasks {
    /// Tasks whose failure may begin `shutdown`.
    pub fn new(shutdown: &Shutdown) -> Self {
        Self(shutdown.clone())
    }

    /// Spawns a task that the service can do without: its panic ends the task alone.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(supervise(name, task).in_current_span());
    }

    /// Spawns a task that the service needs: if it panics, or ends before a shutdown has begun, a shutdown begins
    /// that exits with 70. The handle resolves when the task has ended.
    pub fn spawn_essential(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let (shutdown, supervised) = (self.0.clone(), supervise(name, task));
        let task = async move {
            let finished = supervised.await;
            if !finished || shutdown.cause().is_none() {
                shutdown.begin(Cause::Failed { part: name });
            }
        };
        tokio::spawn(task.in_current_span())
    }
}

/// Resolves to whether the task ended without a panic. Its counter shows 0 from the start.
fn supervise(name: &'static str, task: impl Future<Output = ()>) -> impl Future<Output = bool> {
    let panics = metrics::counter!(PANICS.name, "task" => name);
    async move {
        let finished = AssertUnwindSafe(task).catch_unwind().await.is_ok();
        if !finished {
            panics.increment(1);
            tracing::error!(task = name, "a background task panicked");
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_of_an_essential_task_begins_a_shutdown_and_that_of_another_does_not() {
        let shutdown = Shutdown::default();
        let tasks = Tasks::new(&shutdown);
        assert!(!supervise("helpful", async { panic!("as the test wants") }).await);
        assert_eq!(shutdown.cause(), None);
        tasks.spawn_essential("essential", async { panic!("as the test wants") }).await.unwrap();
        assert_eq!(shutdown.cause(), Some(Cause::Failed { part: "essential" }));
    }

    #[tokio::test]
    async fn an_essential_task_may_end_after_a_shutdown_has_begun_but_not_before() {
        for (cause, expected) in
            [(None, Cause::Failed { part: "worker" }), (Some(Cause::Signal), Cause::Signal)]
        {
            let shutdown = Shutdown::default();
            cause.into_iter().for_each(|cause| shutdown.begin(cause));
            Tasks::new(&shutdown).spawn_essential("worker", async {}).await.unwrap();
            assert_eq!(shutdown.cause(), Some(expected));
        }
    }
}
