//! The trial management service before three instances of the ePRO service: how soon it notices that they
//! are gone, slow or back, and what its callers get meanwhile.

use crate::{
    figures::{Figures, ms, quantile},
    support::{
        fleet::{Asked, Callers, Fleet, INSTANCES},
        instance::Instance,
        service::{Service, Site},
    },
};
use chassis_test::{Signal, until_so};
use std::{
    thread,
    time::{Duration, Instant},
};

const CALLERS: usize = 8;
/// So that it is the service that is measured, and not a machine with nothing left to give.
const PAUSE: Duration = Duration::from_millis(5);
const OPEN: u64 = 2;
const CLOSED: u64 = 0;

pub fn run(figures: &mut Figures, part: u32) {
    let watched = (Duration::from_secs(10) / part).max(Duration::from_secs(2));
    let mut fleet = Fleet::start();
    until_up(&fleet.ctms, INSTANCES);
    one_killed(figures, &mut fleet, watched);
    all_hang(figures, &fleet, watched);
    drop(fleet);
    one_slow(figures, watched);
    all_fail(figures, watched);
}

fn until_up(ctms: &Service, instances: usize) {
    let up = || ctms.metrics().sum("rpc_client_endpoints", &[("state", "up")]);
    until_so("endpoints are up", || up() == instances as u64);
}

fn p99(asked: &[Asked]) -> Duration {
    quantile(&mut asked.iter().map(|asked| asked.took).collect::<Vec<_>>(), 0.99)
}

fn one_killed(figures: &mut Figures, fleet: &mut Fleet, watched: Duration) {
    let callers = Callers::start(fleet.ctms.http, CALLERS, PAUSE);
    thread::sleep(watched);
    let all_well = callers.so_far();
    figures
        .tell("answers a second, all well", format!("{:.0}", all_well.len() as f64 / watched.as_secs_f64()));
    figures.tell("p99, all well", ms(p99(&all_well)));
    let killed = Instant::now();
    fleet.kill(1);
    until_up(&fleet.ctms, INSTANCES - 1);
    let off = killed.elapsed();
    figures.judge("traffic off a killed instance", "< 1 s", ms(off), off < Duration::from_secs(1));
    thread::sleep(watched / 4);
    fleet.start_again(1);
    let returned = Instant::now();
    until_so("it is called again", || fleet.calls(1) > 0);
    let back = returned.elapsed();
    figures.judge("back on it after its return", "< 2 s", ms(back), back < Duration::from_secs(2));
    let asked = callers.finish();
    let felt = asked.iter().filter(|asked| asked.status != 200 || asked.stale).count();
    figures.judge("answers that were not live", "<= callers", felt.to_string(), felt <= CALLERS);
}

fn all_hang(figures: &mut Figures, fleet: &Fleet, watched: Duration) {
    // Many who ask rarely: a few would all be waiting after a moment, and ask no more.
    let callers = Callers::start(fleet.ctms.http, 64, Duration::from_millis(500));
    thread::sleep(watched / 4);
    let state = || fleet.ctms.metrics().sum("circuit_breaker_state", &[]);
    let signal = |signal| (0..INSTANCES).for_each(|number| fleet.instance(number).signal(signal));
    let stopped = Instant::now();
    signal(Signal::STOP);
    until_so("the breaker opens", || state() == OPEN);
    let opened = stopped.elapsed();
    figures.judge("breaker opens when all hang", "< 1 s", ms(opened), opened < Duration::from_secs(1));
    let from = Instant::now();
    thread::sleep(watched);
    let to = Instant::now();
    signal(Signal::CONT);
    until_so("the breaker closes", || state() == CLOSED);
    let recovered = to.elapsed();
    figures.judge("recovery", "< 2 s", ms(recovered), recovered < Duration::from_secs(2));
    let asked = callers.finish();
    let meanwhile: Vec<Asked> =
        asked.into_iter().filter(|asked| asked.at > from && asked.at < to && asked.stale).collect();
    let cached = p99(&meanwhile);
    figures.tell("answers from memory meanwhile", meanwhile.len().to_string());
    figures.judge("their p99", "< 5 ms", ms(cached), cached < Duration::from_millis(5));
}

fn scripted() -> (Vec<Instance>, Service) {
    let instances: Vec<_> = (0..INSTANCES).map(|_| Instance::start()).collect();
    let addresses: Vec<_> = instances.iter().map(|one| one.address).collect();
    let ctms = Site::ctms_before(&addresses).start();
    until_up(&ctms, INSTANCES);
    (instances, ctms)
}

fn one_slow(figures: &mut Figures, watched: Duration) {
    let (instances, ctms) = scripted();
    let callers = Callers::start(ctms.http, CALLERS, PAUSE);
    thread::sleep(watched / 4);
    instances[0].delay(Duration::from_millis(100));
    thread::sleep(Duration::from_secs(1));
    let calls = || -> Vec<u64> { instances.iter().map(Instance::calls).collect() };
    let before = calls();
    thread::sleep(watched);
    let of: Vec<u64> = calls().iter().zip(&before).map(|(after, before)| after - before).collect();
    let share = 100.0 * of[0] as f64 / of.iter().sum::<u64>().max(1) as f64;
    figures.judge("share of an instance that takes 100 ms", "< 10 %", format!("{share:.1} %"), share < 10.0);
    callers.finish();
}

fn all_fail(figures: &mut Figures, watched: Duration) {
    let (instances, ctms) = scripted();
    let callers = Callers::start(ctms.http, CALLERS, PAUSE);
    thread::sleep(watched / 4);
    let attempts = || instances.iter().map(Instance::calls).sum::<u64>();
    let (asked, attempted) = (callers.so_far().len(), attempts());
    instances.iter().for_each(|instance| instance.fail(tonic::Code::Unavailable));
    thread::sleep(watched);
    let all = callers.finish().len() - asked;
    let attempted = attempts() - attempted;
    let amplification = attempted as f64 / all.max(1) as f64;
    figures.tell("attempts while all fail, of how many calls", format!("{attempted} of {all}"));
    figures.judge("amplification", "< 1.1", format!("{amplification:.3}"), amplification < 1.1);
}
