//! `kill -9` at random moments, in short; the long run is in `tests/peers`.

use crate::support::kills::Kills;

const KILLS: usize = 8;

#[test]
fn nothing_accepted_is_lost_over_kills_at_random_moments() {
    let kills = Kills::run(KILLS, "retry");
    kills.assert_consistent();
    let (statuses, arrivals) = (kills.statuses(), kills.arrivals());
    let lost: Vec<_> = statuses
        .iter()
        .filter(|(id, status)| *status != "delivered" || !arrivals.contains_key(*id))
        .collect();
    let twice = arrivals.values().filter(|count| **count > 1).count();
    kills.print(lost.len(), twice);
    assert!(lost.is_empty(), "{lost:?}");
    assert!(kills.recovered > 0, "no kill has met an attempt");
}

#[test]
fn under_hold_nothing_is_ever_sent_twice_and_every_doubt_waits_for_a_person() {
    let kills = Kills::run(KILLS, "hold");
    kills.assert_consistent();
    let (statuses, arrivals) = (kills.statuses(), kills.arrivals());
    let lost: Vec<_> = statuses
        .iter()
        .filter(|(id, status)| match status.as_str() {
            "delivered" => !arrivals.contains_key(*id),
            status => status != "unknown",
        })
        .collect();
    let twice = arrivals.values().filter(|count| **count > 1).count();
    kills.print(lost.len(), twice);
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(twice, 0);
    assert!(kills.recovered > 0, "no kill has met an attempt");
    assert_eq!(kills.service.ledger().of("unknown"), kills.recovered);
}
