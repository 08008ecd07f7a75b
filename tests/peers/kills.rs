//! The long run of `kill -9`; a short one is part of `cargo test`. It takes minutes, and no other program.

use crate::support::kills::Kills;

const KILLS: usize = 50;

#[test]
fn nothing_accepted_is_lost_over_fifty_kills_at_random_moments() {
    Kills::run(KILLS, false).assert_kept();
}

#[test]
fn under_hold_nothing_is_sent_twice_over_fifty_kills() {
    Kills::run(KILLS, true).assert_kept();
}
