//! Where HTTP/2 streams run. Each takes its first step in its connection's own task, once the connection has read
//! all that was there: most need no other, and so neither a task nor anybody woken for it; what all of them answer
//! is then written at once. Those that wait, and those that come after others took long, go on in a task each.
//!
//! Such a task ends when it makes no step for too long. A caller that grants no window would otherwise keep its
//! answers in memory for ever, since whoever waits for a window is asked for nothing any more.

use crate::platform::task;
use parking_lot::Mutex;
use std::{
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection's streams may hold up one another, and whatever else its worker has to do, with their
/// first steps: some of them. The rest is for whichever worker is free.
const FIRST_STEPS: Duration = Duration::from_micros(250);

/// Boxed at once: a future of some kilobytes would be moved again and again on its way into a task.
type Stream = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What hyper hands the streams of one connection to. All clones share them.
#[derive(Clone)]
pub(super) struct Streams {
    come: Arc<Mutex<Vec<Stream>>>,
    /// Longer than any request or answer that goes well takes for one step.
    longest_step: Duration,
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.come.lock().push(Box::pin(stream));
    }
}

impl Streams {
    pub fn new(longest_step: Duration) -> Self {
        Self { come: Arc::default(), longest_step }
    }

    /// Runs a connection to its end, and its streams.
    pub async fn run<C: Future>(&self, mut connection: Pin<&mut C>) -> C::Output {
        poll_fn(|cx| {
            let polled = connection.as_mut().poll(cx);
            // What they answer wakes the connection, which writes it.
            self.first_steps();
            polled
        })
        .await
    }

    fn first_steps(&self) {
        let come = std::mem::take(&mut *self.come.lock());
        if come.is_empty() {
            return;
        }
        let begun = Instant::now();
        // Whoever waits is polled by its own task before anything can be missed.
        let mut cx = Context::from_waker(Waker::noop());
        for mut stream in come {
            let in_time = begun.elapsed() < FIRST_STEPS;
            // A panic, which the panic hook has told of, ends its stream alone, as it would end a task.
            let waits = !in_time
                || catch_unwind(AssertUnwindSafe(|| stream.as_mut().poll(&mut cx)))
                    .is_ok_and(|polled| polled.is_pending());
            if waits {
                task::spawn(steps(stream, self.longest_step));
            }
        }
    }
}

/// Runs a stream to its end, or until nothing has woken it for this time; then it is dropped. One that never waits
/// takes no timer.
async fn steps(mut stream: Stream, longest: Duration) -> Option<()> {
    let mut limit = pin!(None);
    let mut step = Instant::now();
    poll_fn(|cx| {
        if let Some(limit) = limit.as_mut().as_pin_mut()
            && is_up(limit, cx, step, longest)
        {
            return Poll::Ready(None);
        }
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(()));
        }
        step = Instant::now();
        if limit.is_none() {
            limit.set(Some(sleep(longest)));
            if let Some(limit) = limit.as_mut().as_pin_mut()
                && is_up(limit, cx, step, longest)
            {
                return Poll::Ready(None);
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether no step was made for this time since the last one. The timer is set back only when it is up: a step
/// costs no more than a look at the clock.
fn is_up(mut limit: Pin<&mut Sleep>, cx: &mut Context<'_>, step: Instant, longest: Duration) -> bool {
    while limit.as_mut().poll(cx).is_ready() {
        if step.elapsed() >= longest {
            return true;
        }
        limit.as_mut().reset(step + longest);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::rt::Executor;
    use tokio::sync::oneshot;

    const LONGEST: Duration = Duration::from_millis(200);

    /// Hands streams over as a connection would, and has them take their first steps.
    async fn bring(streams: Vec<Stream>) {
        let all = Streams::new(LONGEST);
        all.run(pin!(async { streams.into_iter().for_each(|stream| all.execute(stream)) })).await;
    }

    #[tokio::test]
    async fn a_stream_that_makes_no_step_is_dropped_and_one_that_does_is_not() {
        let begun = Instant::now();
        assert_eq!(steps(Box::pin(std::future::pending()), LONGEST).await, None);
        assert!(begun.elapsed() >= LONGEST);
        let slow = async {
            for _ in 0..20 {
                sleep(LONGEST / 10).await;
            }
        };
        assert_eq!(steps(Box::pin(slow), LONGEST).await, Some(()));
    }

    #[tokio::test]
    async fn a_stream_that_does_not_wait_ends_with_its_connections_step_and_one_that_does_goes_on() {
        let (quick, mut ended) = oneshot::channel();
        let (go_on, waits) = oneshot::channel();
        let (slow, ended_later) = oneshot::channel();
        let quick: Stream = Box::pin(async { quick.send(tokio::task::try_id()).unwrap() });
        let slow: Stream = Box::pin(async {
            waits.await.unwrap();
            slow.send(tokio::task::try_id()).unwrap();
        });
        bring(vec![slow, quick]).await;
        assert_eq!(ended.try_recv(), Ok(tokio::task::try_id()));
        go_on.send(()).unwrap();
        assert_ne!(ended_later.await.unwrap(), tokio::task::try_id());
    }

    #[tokio::test]
    async fn a_stream_that_takes_long_holds_up_none_that_come_with_it() {
        let (next, ended) = oneshot::channel();
        let busy: Stream = Box::pin(async {
            let begun = Instant::now();
            while begun.elapsed() < FIRST_STEPS {}
        });
        let next: Stream = Box::pin(async { next.send(tokio::task::try_id()).unwrap() });
        bring(vec![busy, next]).await;
        assert_ne!(ended.await.unwrap(), tokio::task::try_id());
    }

    #[tokio::test]
    async fn a_panic_is_its_streams_alone() {
        let (next, ended) = oneshot::channel();
        let panics: Stream = Box::pin(async { panic!("as the test wants") });
        let next: Stream = Box::pin(async { next.send(()).unwrap() });
        bring(vec![panics, next]).await;
        assert_eq!(ended.await, Ok(()));
    }
}
