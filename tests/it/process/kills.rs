//! `kill -9` at random moments, in short; the long run is in `tests/peers`.

use crate::support::kills::Kills;

const KILLS: usize = 8;

#[test]
fn nothing_accepted_is_lost_over_kills_at_random_moments() {
    Kills::run(KILLS, false).assert_kept();
}

#[test]
fn under_hold_nothing_is_ever_sent_twice_and_every_doubt_waits_for_a_person() {
    Kills::run(KILLS, true).assert_kept();
}
