//! What the breaker promises, over any course of events.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    Call,
    /// Of the call at this place among those in flight.
    End(usize, Verdict),
    Slow(usize),
    Pass(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let verdict = prop_oneof![
        3 => Just(Verdict::Failure),
        2 => Just(Verdict::Success),
        1 => Just(Verdict::Ignored),
    ];
    prop_oneof![
        4 => Just(Event::Call),
        4 => (0_usize..8, verdict).prop_map(|(call, verdict)| Event::End(call, verdict)),
        1 => (0_usize..8).prop_map(Event::Slow),
        2 => (0_u64..600).prop_map(Event::Pass),
    ]
}

fn may_follow(from: State, to: State) -> bool {
    from == to
        || matches!(
            (from, to),
            (State::Closed, State::Open)
                | (State::Open, State::HalfOpen)
                | (State::HalfOpen, State::Open | State::Closed)
        )
}

proptest! {
    #[test]
    fn there_are_never_two_probes_and_no_state_is_skipped(events in proptest::collection::vec(event(), 0..400)) {
        let mut now = Instant::now();
        let mut machine = Machine::new(BreakerConfig::default(), now);
        let mut calls: Vec<Ticket> = Vec::new();
        let mut opened = None;
        for event in events {
            let before = machine.state;
            match event {
                Event::Pass(millis) => now += Duration::from_millis(millis),
                Event::Slow(call) if call < calls.len() => machine.record(calls[call], Verdict::Failure, now),
                Event::End(call, verdict) if call < calls.len() => {
                    let ticket = calls.swap_remove(call);
                    machine.record(ticket, verdict, now);
                    machine.leave(ticket);
                }
                Event::Call => match machine.admit(now) {
                    Ok(ticket) => {
                        prop_assert_eq!(ticket.probe, before != State::Closed);
                        let rested = opened.is_none_or(|opened| now - opened >= Duration::from_secs(1));
                        prop_assert!(rested, "let through while open");
                        calls.push(ticket);
                    }
                    Err(_) => prop_assert!(before != State::Closed),
                },
                Event::Slow(_) | Event::End(..) => {}
            }
            let after = machine.state;
            prop_assert!(may_follow(before, after), "{:?} to {:?}", before, after);
            if before != State::Open && after == State::Open { opened = Some(now) }
            if after == State::Closed { opened = None }
            prop_assert!(calls.iter().filter(|call| call.probe).count() <= 1);
        }
        // It is never stuck: once all calls have ended and the time is over, one passes and closes it.
        calls.into_iter().for_each(|ticket| machine.leave(ticket));
        now += Duration::from_secs(1);
        let ticket = machine.admit(now).unwrap();
        machine.record(ticket, Verdict::Success, now);
        prop_assert_eq!(machine.state, State::Closed);
    }

    #[test]
    fn it_opens_within_a_second_when_all_fail_at_three_calls_a_second_or_more(
        rate in 3_u64..2000, well in 0_u64..3000,
    ) {
        let started = Instant::now();
        let mut machine = Machine::new(BreakerConfig::default(), started);
        let bad = started + Duration::from_millis(well);
        for call in 0.. {
            let now = started + Duration::from_micros(call * 1_000_000 / rate);
            let Ok(ticket) = machine.admit(now) else { break };
            let verdict = if now < bad { Verdict::Success } else { Verdict::Failure };
            machine.record(ticket, verdict, now);
            machine.leave(ticket);
            prop_assert!(machine.state == State::Open || now < bad + Duration::from_secs(1));
            prop_assert!(machine.state == State::Closed || now >= bad);
        }
    }

    #[test]
    fn a_third_of_the_calls_may_fail(rate in 50_u64..2000) {
        let started = Instant::now();
        let mut machine = Machine::new(BreakerConfig::default(), started);
        for call in 0..5000 {
            let now = started + Duration::from_micros(call * 1_000_000 / rate);
            let ticket = machine.admit(now).unwrap();
            let verdict = if call % 3 == 2 { Verdict::Failure } else { Verdict::Success };
            machine.record(ticket, verdict, now);
            machine.leave(ticket);
        }
        prop_assert_eq!(machine.state, State::Closed);
    }
}

#[test]
fn a_burst_whose_failures_come_back_first_does_not_open_it() {
    let now = Instant::now();
    let mut machine = Machine::new(BreakerConfig::default(), now);
    let burst: Vec<Ticket> = (0..99).map(|_| machine.admit(now).unwrap()).collect();
    let (failing, well) = burst.split_at(33);
    for (tickets, verdict) in [(failing, Verdict::Failure), (well, Verdict::Success)] {
        tickets.iter().for_each(|ticket| machine.record(*ticket, verdict, now));
    }
    assert_eq!(machine.state, State::Closed);
}

#[test]
fn a_few_callers_who_all_hang_open_it_as_soon_as_they_are_slow() {
    let started = Instant::now();
    let at = |millis| started + Duration::from_millis(millis);
    let mut machine = Machine::new(BreakerConfig::default(), started);
    for call in 0..200 {
        let ticket = machine.admit(at(call * 2)).unwrap();
        machine.record(ticket, Verdict::Success, at(call * 2 + 1));
    }
    let hanging: Vec<Ticket> = (0..3).map(|_| machine.admit(at(400)).unwrap()).collect();
    hanging.iter().for_each(|ticket| machine.record(*ticket, Verdict::Failure, at(900)));
    assert_eq!(machine.state, State::Open);
}

#[test]
fn the_part_of_a_burst_that_hangs_does_not_open_it() {
    let started = Instant::now();
    let mut machine = Machine::new(BreakerConfig::default(), started);
    let burst: Vec<Ticket> = (0..30).map(|_| machine.admit(started).unwrap()).collect();
    let (well, hanging) = burst.split_at(20);
    let (soon, late) = (started + Duration::from_millis(5), started + Duration::from_millis(500));
    well.iter().for_each(|ticket| machine.record(*ticket, Verdict::Success, soon));
    hanging.iter().for_each(|ticket| machine.record(*ticket, Verdict::Failure, late));
    assert_eq!(machine.state, State::Closed);
}

#[test]
fn what_began_before_it_opened_neither_closes_nor_opens_it() {
    let started = Instant::now();
    let mut machine = Machine::new(BreakerConfig::default(), started);
    let early: Vec<Ticket> = (0..20).map(|_| machine.admit(started).unwrap()).collect();
    early[..15].iter().for_each(|ticket| machine.record(*ticket, Verdict::Failure, started));
    assert_eq!(machine.state, State::Open);
    let later = started + Duration::from_secs(1);
    let probe = machine.admit(later).unwrap();
    machine.record(early[15], Verdict::Success, later);
    assert_eq!(machine.state, State::HalfOpen);
    machine.record(early[16], Verdict::Failure, later);
    assert_eq!(machine.state, State::HalfOpen);
    machine.record(probe, Verdict::Success, later);
    assert_eq!(machine.state, State::Closed);
    early[17..].iter().for_each(|ticket| machine.record(*ticket, Verdict::Failure, later));
    assert_eq!(machine.calls.sum(later).matched, 0);
}
