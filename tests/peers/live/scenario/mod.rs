//! A scene that moves whatever is measured: every outcome, refusal, outage and repair that two minutes hold. It
//! is driven by what happens, and waits for nothing else.

mod deliveries;
mod doors;
mod outages;
mod people;
mod reports;
mod traffic;

use super::stack::Stack;
pub use outages::slow_accepts;
use std::time::Instant;
pub use traffic::Traffic;

/// Nothing but what is well: people, and their reports.
pub fn everyday(stack: &Stack) {
    act("people", || people::arrive(stack));
    act("reports", || reports::play(stack));
}

/// Plays all of it on all instances. What is told on stdout is how long each act took.
pub fn play(stack: &mut Stack) {
    let traffic = Traffic::start(stack);
    everyday(stack);
    act("deliveries", || deliveries::play(stack));
    act("refusals and shedding", || people::refused(stack));
    act("doors", || doors::play(stack));
    act("outages", || outages::play(stack));
    traffic.stop();
}

#[expect(clippy::print_stdout, reason = "read in the stage's output: where the time goes")]
pub fn act<T>(name: &str, play: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let done = play();
    println!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    done
}
