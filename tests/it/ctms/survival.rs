//! One of three instances is killed, stands still or is slow: nobody who asks is to feel it.

use crate::support::fleet::{Asked, Callers, Fleet, INSTANCES, path};
use crate::support::instance::Instance;
use crate::support::prelude::*;
use std::{
    thread,
    time::{Duration, Instant},
};

const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(5);
/// Off a dead instance within this.
const OFF: Duration = Duration::from_secs(1);
/// Back on one that has returned within this.
const BACK: Duration = Duration::from_secs(2);

fn endpoints(ctms: &Service, state: &str) -> u64 {
    ctms.metrics().sum("rpc_client_endpoints", &[("state", state)])
}

fn until_up(ctms: &Service, instances: usize) {
    until_so(&format!("{instances} endpoints are up"), || endpoints(ctms, "up") == instances as u64);
}

/// Callers who have got every patient's report.
fn callers(fleet: &Fleet) -> Callers {
    let callers = Callers::start(fleet.ctms.http, CALLERS, PAUSE);
    until_so("the callers are at work", || callers.so_far().len() > 100);
    callers
}

/// What was not answered by the ePRO service.
fn not_live(asked: &[Asked]) -> Vec<Asked> {
    asked.iter().filter(|asked| asked.status != 200 || asked.stale).copied().collect()
}

#[test]
fn killing_one_of_three_is_felt_by_no_more_than_who_was_asking_it() {
    let mut fleet = Fleet::start();
    until_up(&fleet.ctms, INSTANCES);
    let callers = callers(&fleet);
    let killed = Instant::now();
    fleet.kill(1);
    until_up(&fleet.ctms, INSTANCES - 1);
    let off = killed.elapsed();
    assert!(off < OFF, "off after {off:?}");
    let others = || fleet.calls(0) + fleet.calls(2);
    let before = others();
    until_so("the others take its calls", || others() > before + 100);

    fleet.start_again(1);
    let returned = Instant::now();
    until_so("it is called again", || fleet.calls(1) > 0);
    let back = returned.elapsed();
    assert!(back < BACK, "back after {back:?}");
    let asked = callers.finish();
    let felt = not_live(&asked);
    assert!(felt.len() <= CALLERS && felt.iter().all(|asked| asked.at < killed + OFF), "{felt:?}");
    fleet.ctms.stop();
}

#[test]
fn one_that_stands_still_loses_its_share_and_gets_it_back() {
    let fleet = Fleet::start();
    until_up(&fleet.ctms, INSTANCES);
    let callers = callers(&fleet);
    let stopped = Instant::now();
    fleet.instance(1).signal(Signal::STOP);
    until_up(&fleet.ctms, INSTANCES - 1);
    let off = stopped.elapsed();
    // A probe's patience and the time to the next one, and some for a machine that does other things too.
    assert!(off < 2 * OFF, "off after {off:?}");
    let others = || fleet.calls(0) + fleet.calls(2);
    let before = others();
    until_so("the others take its calls", || others() > before + 100);
    fleet.instance(1).signal(Signal::CONT);
    let before = fleet.calls(1);
    until_so("it is called again", || fleet.calls(1) > before);
    let asked = callers.finish();
    // Who was asking it is answered by another, or from memory: each report had been told before.
    assert!(asked.iter().all(|asked| asked.status == 200), "{:?}", not_live(&asked));
    let felt = not_live(&asked);
    assert!(felt.iter().all(|asked| asked.at < stopped + 2 * OFF), "{felt:?}");
    // `epro.deadline`, and some.
    let longest = asked.iter().map(|asked| asked.took).max().unwrap();
    assert!(longest < Duration::from_secs(3), "{longest:?}");
}

#[test]
fn a_slow_one_loses_its_share_and_callers_wait_for_the_others() {
    let instances: Vec<_> = (0..INSTANCES).map(|_| Instance::start()).collect();
    let addresses: Vec<_> = instances.iter().map(|one| one.address).collect();
    // Time enough that slowness is no failure yet.
    let site = Site::ctms_before(&addresses).with("APP_EPRO__DEADLINE", "20s");
    let ctms = site.start();
    until_up(&ctms, INSTANCES);
    instances[0].delay(Duration::from_secs(1));
    let callers = Callers::start(ctms.http, CALLERS, PAUSE);
    until_so("it is known to be slow", || callers.so_far().len() > 200);
    let calls = || -> Vec<u64> { instances.iter().map(Instance::calls).collect() };
    let before = calls();
    thread::sleep(Duration::from_secs(3));
    let of: Vec<u64> = calls().iter().zip(&before).map(|(after, before)| after - before).collect();
    let share = of[0] as f64 / of.iter().sum::<u64>() as f64;
    assert!(share < 0.1, "{of:?}");
    let asked = callers.finish();
    assert!(asked.iter().all(|asked| asked.status == 404), "{:?}", not_live(&asked).first());
    ctms.ask("GET", &path(0), "").problem(404, "not-found");
}
