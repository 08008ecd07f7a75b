//! How many previews are drawn at once: drawing is work for a processor, and may take half of them at most. A
//! few callers wait in line for a moment; more than that are turned away, which costs nothing.

use super::{Drawn, Face, config::PreviewConfig, draw};
use crate::{
    platform::{
        resilience::{Degradation, Shed},
        task,
        telemetry::names,
    },
    reports::PREVIEW,
};
use metrics::Histogram;
use rustix::process::setpriority_process;
use std::{
    sync::Arc,
    thread::available_parallelism,
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

/// How long one waits in line at most.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many wait for each that is drawn.
const WAITING: usize = 4;
/// 19 is the least: under load about a seventieth of what a thread of niceness 0 gets.
const NICENESS: i32 = 19;
/// The line is empty well before.
const LATER: Duration = Duration::from_secs(1);

/// Draws previews, where there is a font.
pub struct Preview {
    face: Option<Face>,
    /// Places at a desk and in line.
    line: Arc<Semaphore>,
    desks: Arc<Semaphore>,
    degradation: Degradation,
    durations: Histogram,
}

/// Why there is no preview.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undrawn {
    /// No font is configured, or the build can't use one.
    NoFont,
    Shed(Shed),
    /// A defect, or a font that changed its mind.
    Failed,
}

impl Preview {
    /// Make it after the metrics recorder is installed: handles are kept.
    pub fn new(config: &PreviewConfig, degradation: Degradation) -> Self {
        let desks = available_parallelism().map_or(1, |cores| cores.get() / 2).max(1);
        Self {
            face: config.font.clone(),
            line: Arc::new(Semaphore::new(desks * (1 + WAITING))),
            desks: Arc::new(Semaphore::new(desks)),
            degradation,
            durations: metrics::histogram!(names::REPORT_PREVIEW_DURATION),
        }
    }

    /// Whether it can draw at all.
    pub fn is_there(&self) -> bool {
        self.face.is_some()
    }

    /// The report as PDF.
    ///
    /// # Errors
    /// There is no font, or too many are being drawn.
    pub async fn draw(&self, report: Drawn) -> Result<Vec<u8>, Undrawn> {
        let face = self.face.clone().ok_or(Undrawn::NoFont)?;
        let desk = self.desk().await.ok_or_else(|| self.turn_away())?;
        let (durations, span) =
            (self.durations.clone(), tracing::info_span!("draw report", report_id = %report.id));
        let (reply, drawing) = oneshot::channel();
        let thread = span.in_scope(|| {
            task::spawn_thread("preview", move || {
                give_way();
                // The desk is taken until the work has ended, also when the caller has left.
                let _desk = desk;
                let begun = Instant::now();
                let drawn = draw(&face, &report);
                durations.record(begun.elapsed().as_secs_f64());
                // Nobody waits for it any more where that fails.
                let _ = reply.send(drawn);
            })
        });
        thread.map_err(|_| Undrawn::Failed)?;
        // The panic hook has told of a panic.
        drawing.await.ok().and_then(Result::ok).ok_or(Undrawn::Failed)
    }

    async fn desk(&self) -> Option<Desk> {
        let line = Arc::clone(&self.line).try_acquire_owned().ok()?;
        let desk = timeout(PATIENCE, Arc::clone(&self.desks).acquire_owned()).await.ok()?.ok()?;
        Some(Desk { _line: line, _desk: desk })
    }

    fn turn_away(&self) -> Undrawn {
        Undrawn::Shed(self.degradation.shed(PREVIEW, LATER))
    }
}

/// Lets every other thread of the service go first: what is drawn can wait, a submission can't. Linux counts
/// niceness by thread, which is why drawing has one of its own; elsewhere, or where it is not allowed, it
/// competes as others do.
fn give_way() {
    let _ = setpriority_process(None, NICENESS);
}

/// Free again when it is dropped.
struct Desk {
    _line: OwnedSemaphorePermit,
    _desk: OwnedSemaphorePermit,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    fn preview() -> Preview {
        Preview::new(&PreviewConfig { font: None }, Degradation::new(&[PREVIEW]))
    }

    #[tokio::test]
    async fn without_a_font_nobody_waits() {
        let report = Drawn { id: "0".to_owned(), submitted_at: 0, content: "a".to_owned() };
        assert_eq!(preview().draw(report).await, Err(Undrawn::NoFont));
    }

    #[tokio::test]
    async fn a_few_wait_for_a_moment_and_the_rest_are_turned_away_at_once() {
        let preview = preview();
        let places = preview.line.available_permits();
        let mut taken = Vec::new();
        for _ in 0..preview.desks.available_permits() {
            taken.push(preview.desk().await.unwrap());
        }
        let waiting = places - taken.len();
        let mut line: Vec<_> = (0..waiting).map(|_| Box::pin(preview.desk())).collect();
        for place in &mut line {
            assert!(futures_util::poll!(place.as_mut()).is_pending());
        }
        // Ready at once: it waits for nothing.
        assert!(matches!(futures_util::poll!(Box::pin(preview.desk())), Poll::Ready(None)));
        taken.pop();
        // Whoever gets the desk leaves it to the next.
        for place in line {
            assert!(place.await.is_some(), "a desk was free");
        }
    }

    #[tokio::test]
    async fn who_has_waited_too_long_is_turned_away_and_leaves_its_place() {
        let preview = preview();
        let mut taken = Vec::new();
        for _ in 0..preview.desks.available_permits() {
            taken.push(preview.desk().await.unwrap());
        }
        let free = preview.line.available_permits();
        let begun = Instant::now();
        assert!(preview.desk().await.is_none());
        assert!(begun.elapsed() >= PATIENCE);
        assert_eq!(preview.line.available_permits(), free);
    }
}
