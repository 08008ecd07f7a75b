//! Where HTTP/2 streams run: each in a task of its own, which ends when it makes no step for too long. A
//! caller that grants no window would otherwise keep its answers in memory for ever, since whoever waits for
//! a window is asked for nothing any more.

use crate::platform::task;
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// What hyper hands its streams to.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    /// Longer than any request or answer that goes well takes for one step.
    pub longest_step: Duration,
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        // Boxed here: a future of some kilobytes would be moved again and again on its way into the task.
        task::spawn(steps(Box::pin(stream), self.longest_step));
    }
}

/// Runs a future to its end, or until nothing has woken it for this time; then it is dropped.
async fn steps<F: Future>(mut future: Pin<Box<F>>, longest: Duration) -> Option<F::Output> {
    let mut limit = pin!(sleep(longest));
    let mut step = Instant::now();
    poll_fn(|cx| {
        // Set back only when it is up: a step costs no more than a look at the clock.
        while limit.as_mut().poll(cx).is_ready() {
            if step.elapsed() >= longest {
                return Poll::Ready(None);
            }
            limit.as_mut().reset(step + longest);
        }
        step = Instant::now();
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_stream_that_makes_no_step_is_dropped_and_one_that_does_is_not() {
        let begun = Instant::now();
        assert_eq!(steps(Box::pin(std::future::pending::<()>()), LONGEST).await, None);
        assert!(begun.elapsed() >= LONGEST);
        let slow = async {
            for _ in 0..20 {
                sleep(LONGEST / 10).await;
            }
        };
        assert_eq!(steps(Box::pin(slow), LONGEST).await, Some(()));
    }
}
