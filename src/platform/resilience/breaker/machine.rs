//! The states of a breaker and what leads from one to the next. It is told the time; metrics, lines and
//! locks are not known here.

use super::{BreakerConfig, State};
use crate::platform::resilience::rolling::Rolling;
use std::time::{Duration, Instant};

const BUCKETS: usize = 10;

/// A call that was let through, as the machine knows it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket {
    /// What comes of a call counts only in the state that it was let through in.
    era: u64,
    pub probe: bool,
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    Failure,
}

#[derive(Debug)]
pub(super) struct Machine {
    config: BreakerConfig,
    state: State,
    era: u64,
    /// Of this closed state: the calls that began, and those that failed.
    calls: Rolling<BUCKETS>,
    /// How many failed since the last success, and when the first of them did.
    row: u32,
    row_began: Instant,
    opened: Instant,
    /// Whether a probe is on its way, also one that has failed already by being slow.
    probing: bool,
}

impl Machine {
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        let calls = Rolling::new(config.window, now);
        Self {
            config,
            state: State::Closed,
            era: 0,
            calls,
            row: 0,
            row_began: now,
            opened: now,
            probing: false,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// Lets a call through; while not closed only one at a time, and none before its time.
    ///
    /// # Errors
    /// None may pass now; it is worth another try after this time.
    pub fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        let probe = self.state != State::Closed;
        if probe {
            let open_for = now.saturating_duration_since(self.opened);
            let wait = match self.state {
                State::Open => self.config.open_for.saturating_sub(open_for),
                State::Closed | State::HalfOpen => Duration::ZERO,
            };
            if self.probing || !wait.is_zero() {
                return Err(wait);
            }
            self.state = State::HalfOpen;
            self.probing = true;
        } else {
            self.calls.count(now);
        }
        Ok(Ticket { era: self.era, probe })
    }

    /// What came of a call, once for each.
    pub fn judge(&mut self, ticket: Ticket, verdict: Verdict, now: Instant) {
        if ticket.era != self.era {
            return;
        }
        match (self.state, verdict) {
            (State::Closed, Verdict::Success) => self.row = 0,
            (State::Closed, Verdict::Failure) => self.fail(now),
            (State::HalfOpen, Verdict::Success) => self.close(now),
            (State::HalfOpen, Verdict::Failure) => self.open(now),
            // Nothing that is let through in this state has its era.
            (State::Open, _) => {}
        }
    }

    /// A call has ended, judged or not; a probe leaves its place to the next.
    pub fn leave(&mut self, ticket: Ticket) {
        if ticket.probe {
            self.probing = false;
        }
    }

    fn fail(&mut self, now: Instant) {
        if self.row == 0 {
            self.row_began = now;
        }
        self.row = self.row.saturating_add(1);
        self.calls.count_some(now);
        let counts = self.calls.sum(now);
        let many = counts.all >= self.config.fewest && counts.some * 2 >= counts.all;
        let lasting = now.saturating_duration_since(self.row_began) >= self.config.window / 4;
        if many || (self.row >= self.config.in_a_row && lasting) {
            self.open(now);
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = State::Open;
        self.opened = now;
        self.era += 1;
    }

    fn close(&mut self, now: Instant) {
        let probing = self.probing;
        let era = self.era + 1;
        *self = Self { era, probing, ..Self::new(self.config.clone(), now) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Event {
        Call,
        /// Of the call that is so far back among those on their way.
        End(usize, Option<Verdict>),
        Slow(usize),
        Pass(u64),
    }

    fn event() -> impl Strategy<Value = Event> {
        let verdict = prop_oneof![
            3 => Just(Some(Verdict::Failure)),
            2 => Just(Some(Verdict::Success)),
            1 => Just(None),
        ];
        prop_oneof![
            4 => Just(Event::Call),
            4 => (0_usize..8, verdict).prop_map(|(call, verdict)| Event::End(call, verdict)),
            1 => (0_usize..8).prop_map(Event::Slow),
            2 => (0_u64..600).prop_map(Event::Pass),
        ]
    }

    /// What may follow on a state.
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
                let before = machine.state();
                match event {
                    Event::Pass(millis) => now += Duration::from_millis(millis),
                    Event::Slow(call) if call < calls.len() => machine.judge(calls[call], Verdict::Failure, now),
                    Event::End(call, verdict) if call < calls.len() => {
                        let ticket = calls.swap_remove(call);
                        if let Some(verdict) = verdict { machine.judge(ticket, verdict, now) }
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
                let after = machine.state();
                prop_assert!(may_follow(before, after), "{:?} to {:?}", before, after);
                if before != State::Open && after == State::Open { opened = Some(now) }
                if after == State::Closed { opened = None }
                prop_assert!(calls.iter().filter(|call| call.probe).count() <= 1);
            }
            // It is never stuck: once all have left and the time is over, one passes, and closes it.
            calls.into_iter().for_each(|ticket| machine.leave(ticket));
            now += Duration::from_secs(1);
            let ticket = machine.admit(now).unwrap();
            machine.judge(ticket, Verdict::Success, now);
            prop_assert_eq!(machine.state(), State::Closed);
        }

        #[test]
        fn it_opens_within_a_second_when_all_fail_at_three_calls_a_second_or_more(
            rate in 3_u64..2000, well in 0_u64..3000,
        ) {
            let begun = Instant::now();
            let mut machine = Machine::new(BreakerConfig::default(), begun);
            let bad = begun + Duration::from_millis(well);
            for call in 0.. {
                let now = begun + Duration::from_micros(call * 1_000_000 / rate);
                let Ok(ticket) = machine.admit(now) else { break };
                let verdict = if now < bad { Verdict::Success } else { Verdict::Failure };
                machine.judge(ticket, verdict, now);
                machine.leave(ticket);
                prop_assert!(machine.state() == State::Open || now < bad + Duration::from_secs(1));
                prop_assert!(machine.state() == State::Closed || now >= bad);
            }
        }

        #[test]
        fn a_third_of_the_calls_may_fail(rate in 50_u64..2000) {
            let begun = Instant::now();
            let mut machine = Machine::new(BreakerConfig::default(), begun);
            for call in 0..5000 {
                let now = begun + Duration::from_micros(call * 1_000_000 / rate);
                let ticket = machine.admit(now).unwrap();
                let verdict = if call % 3 == 2 { Verdict::Failure } else { Verdict::Success };
                machine.judge(ticket, verdict, now);
                machine.leave(ticket);
            }
            prop_assert_eq!(machine.state(), State::Closed);
        }
    }

    #[test]
    fn a_burst_whose_failures_come_back_first_does_not_open_it() {
        let now = Instant::now();
        let mut machine = Machine::new(BreakerConfig::default(), now);
        let burst: Vec<Ticket> = (0..99).map(|_| machine.admit(now).unwrap()).collect();
        let (failing, well) = burst.split_at(33);
        for (tickets, verdict) in [(failing, Verdict::Failure), (well, Verdict::Success)] {
            tickets.iter().for_each(|ticket| machine.judge(*ticket, verdict, now));
        }
        assert_eq!(machine.state(), State::Closed);
    }

    #[test]
    fn what_began_before_it_opened_neither_closes_nor_opens_it() {
        let begun = Instant::now();
        let mut machine = Machine::new(BreakerConfig::default(), begun);
        let early: Vec<Ticket> = (0..20).map(|_| machine.admit(begun).unwrap()).collect();
        early[..15].iter().for_each(|ticket| machine.judge(*ticket, Verdict::Failure, begun));
        assert_eq!(machine.state(), State::Open);
        let later = begun + Duration::from_secs(1);
        let probe = machine.admit(later).unwrap();
        machine.judge(early[15], Verdict::Success, later);
        assert_eq!(machine.state(), State::HalfOpen);
        machine.judge(early[16], Verdict::Failure, later);
        assert_eq!(machine.state(), State::HalfOpen);
        machine.judge(probe, Verdict::Success, later);
        assert_eq!(machine.state(), State::Closed);
        early[17..].iter().for_each(|ticket| machine.judge(*ticket, Verdict::Failure, later));
        assert_eq!(machine.calls.sum(later).some, 0);
    }
}
