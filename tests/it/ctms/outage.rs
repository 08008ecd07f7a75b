//! All instances are gone or stand still: the breaker opens, what is remembered is told with its age, one
//! probe at a time finds out when they return.

use crate::support::fleet::{Callers, Fleet, INSTANCES, PATIENTS, path};
use crate::support::instance::Instance;
use crate::support::prelude::*;
use std::{
    thread,
    time::{Duration, Instant},
};

const PAUSE: Duration = Duration::from_millis(5);
/// As `circuit_breaker_state` numbers them.
const CLOSED: u64 = 0;
const OPEN: u64 = 2;

fn breaker(ctms: &Service) -> u64 {
    ctms.metrics().sum("circuit_breaker_state", &[])
}

/// How long it takes until the breaker is in this state.
fn until_breaker(ctms: &Service, state: u64) -> Duration {
    let began = Instant::now();
    until_so(&format!("the breaker is in state {state}"), || breaker(ctms) == state);
    began.elapsed()
}

#[test]
fn when_all_stand_still_reports_come_from_memory_until_they_go_on() {
    let fleet = Fleet::start();
    (0..PATIENTS).for_each(|patient| assert_eq!(fleet.ask(patient).status, 200));
    let callers = Callers::start(fleet.ctms.http, 64, Duration::from_millis(500));
    until_so("the callers are at work", || callers.so_far().len() > 100);
    let signal = |signal| (0..INSTANCES).for_each(|number| fleet.instance(number).signal(signal));
    let stopped = Instant::now();
    signal(Signal::STOP);
    let opened = until_breaker(&fleet.ctms, OPEN);
    assert!(opened < Duration::from_secs(1), "open after {opened:?}");

    let stale = fleet.ask(3);
    assert_eq!(stale.status, 200, "{stale:?}");
    assert_eq!((&stale.json()["stale"], &stale.json()["content"]), (&true.into(), &"report of 3".into()));
    let age: u64 = stale.header("age").unwrap().parse().unwrap();
    assert!(Duration::from_secs(age) <= stopped.elapsed() + Duration::from_secs(60), "{age}");
    let unknown = fleet.ask(1_000);
    assert!(unknown.problem(503, "epro-unavailable").is_some(), "{unknown:?}");
    assert!(fleet.ctms.readiness().0);

    signal(Signal::CONT);
    let recovered = until_breaker(&fleet.ctms, CLOSED);
    assert!(recovered < Duration::from_secs(2), "closed after {recovered:?}");
    until_so("answers are live", || fleet.ask(3).json()["stale"] == false);
    let asked = callers.finish();
    // Every report had been told before, so that nobody was left without one.
    assert!(asked.iter().all(|asked| asked.status == 200));
    let fallbacks = fleet.ctms.metrics().sum("ctms_report_answers_total", &[("source", "cache")]);
    assert!(fallbacks > 0);
}

#[test]
fn when_all_are_killed_it_lives_on_and_finds_them_when_they_return() {
    let mut fleet = Fleet::start();
    assert_eq!(fleet.ask(0).status, 200);
    let callers = Callers::start(fleet.ctms.http, 4, PAUSE);
    until_so("the callers are at work", || callers.so_far().len() > 100);
    (0..INSTANCES).for_each(|number| fleet.kill(number));
    let opened = until_breaker(&fleet.ctms, OPEN);
    assert!(opened < Duration::from_secs(1), "open after {opened:?}");
    assert_eq!(fleet.ask(0).json()["stale"], true);
    (0..INSTANCES).for_each(|number| fleet.start_again(number));
    let recovered = until_breaker(&fleet.ctms, CLOSED);
    assert!(recovered < Duration::from_secs(2), "closed after {recovered:?}");
    until_so("answers are live", || fleet.ask(0).json()["stale"] == false);
    assert!(callers.finish().iter().all(|asked| matches!(asked.status, 200 | 503)));
    fleet.ctms.stop();
}

#[test]
fn while_the_breaker_is_open_one_probe_at_a_time_is_made() {
    const WATCHED: Duration = Duration::from_secs(3);
    let instances: Vec<_> = (0..INSTANCES).map(|_| Instance::start()).collect();
    let addresses: Vec<_> = instances.iter().map(|one| one.address).collect();
    let site = Site::ctms_before(&addresses);
    let ctms = site.start();
    until_so("a call is answered", || ctms.ask("GET", &path(0), "").status == 404);
    let callers = Callers::start(ctms.http, 8, PAUSE);
    instances.iter().for_each(|instance| instance.delay(Duration::from_secs(30)));
    until_breaker(&ctms, OPEN);
    let calls = || instances.iter().map(Instance::calls).sum::<u64>();
    let before = calls();
    thread::sleep(WATCHED);
    // It stays open for a second, and is then asked by one call, which takes a while to be given up.
    let probes = calls() - before;
    assert!((1..=WATCHED.as_secs() + 1).contains(&probes), "{probes} probes");
    instances.iter().for_each(|instance| instance.delay(Duration::ZERO));
    until_so("it is closed again", || breaker(&ctms) == CLOSED);
    let asked = callers.finish();
    assert!(asked.iter().all(|asked| matches!(asked.status, 404 | 503)));
}
