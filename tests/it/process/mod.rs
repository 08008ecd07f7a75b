//! The real program with a real gateway and real files: what it promises when it, its gateway or its store fails.
//! Longer runs, and what needs other programs, stand in `tests/peers`.

mod backlog;
mod backup;
mod gateway_answers;
mod gateways;
mod hold;
mod shutdown;
mod start;
mod store_trouble;

use crate::support::kills::Kills;

/// In short; the long run is in `tests/peers`.
const KILLS: usize = 8;

#[test]
fn nothing_accepted_is_lost_over_kills_at_random_moments() {
    Kills::run(KILLS, false).assert_kept();
}

#[test]
fn under_hold_nothing_is_ever_sent_twice_and_every_doubt_waits_for_a_person() {
    Kills::run(KILLS, true).assert_kept();
}
