//! Replicas on one PostgreSQL (Debian's `postgresql`): killed at random moments beside a server that crashes, and
//! updated one after another.
//!
//! `REPLICAS_SECONDS` sets the length of the long run, `REPLICAS_SEED` repeats its order of events.

use crate::support::{
    kills::assert_accounted,
    load::{Accepted, Load},
    prelude::*,
};
use chassis_test::postgres::Server;
use parking_lot::{Mutex, MutexGuard};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

const REPLICAS: usize = 3;
/// Deliveries in flight at once in each replica: as many attempts a kill may cut off.
const WORKERS: usize = 8;
const CLIENTS: usize = 6;
const DATABASE: &str = "postgres";
/// What may be an error while the server is away: the service's own line, and sqlx's about a new connection.
const OUTAGE: [&str; 2] = ["the store can't commit", "error returned from after_connect"];
/// The exit code for what is no fault of the configuration.
const FAILURE: i32 = 70;

/// The tests measure time, so one runs after another.
static ALONE: Mutex<()> = Mutex::new(());

/// Three replicas under load.
struct Replicas {
    server: Server,
    gateway: Gateway,
    sites: Vec<Site>,
    running: Vec<Option<Service>>,
    load: Load,
    kills: usize,
    outages: usize,
    _alone: MutexGuard<'static, ()>,
}

fn site(server: &Server, gateway: &Gateway) -> Site {
    Site::sending_to(gateway)
        .with("APP_STORE__URL", &server.url(DATABASE))
        .with("APP_QUEUE__WORKERS", &WORKERS.to_string())
        .with("APP_RETRY__MAX_UNKNOWN", "1000")
        .with("APP_RETRY__MAX_ATTEMPTS", "1000")
        // On a machine with other work every answer is slow, and the load's bulk messages would be shed.
        .with("APP_DEGRADATION__LATENCY", "1m")
        .with("APP_DEGRADATION__QUEUE_AGE", "1h")
}

impl Replicas {
    fn start() -> Self {
        let alone = ALONE.lock();
        let server = Server::start(&[]);
        let gateway = Gateway::behaving(r#"{"latency":"uniform:1ms,20ms"}"#);
        let sites: Vec<Site> = (0..REPLICAS).map(|_| site(&server, &gateway)).collect();
        let running: Vec<_> = sites.iter().map(|site| Some(site.start_with_patient())).collect();
        let load = Load::start(CLIENTS, CLIENTS / 2);
        let replicas = Self { server, gateway, sites, running, load, kills: 0, outages: 0, _alone: alone };
        replicas.aim();
        replicas
    }

    /// Sends the load to all that run.
    fn aim(&self) {
        self.load.aim(self.running.iter().flatten().map(|replica| replica.http));
    }

    /// Something is always at stake.
    fn until_more_accepted(&self, count: u64) {
        self.load.until_accepted(self.load.accepted() + count);
    }

    /// SIGKILL, also where it has just been killed.
    fn kill(&mut self, number: usize) {
        let Some(replica) = self.running[number].take() else { return };
        assert_only_outages(&replica.output());
        replica.kill();
        self.kills += 1;
        self.aim();
    }

    /// Starts those that were killed.
    fn restart(&mut self) {
        for (site, running) in self.sites.iter().zip(&mut self.running) {
            running.get_or_insert_with(|| site.start());
        }
        self.aim();
    }

    /// Stops the server at once, as a crash does, and starts it again after `away`.
    fn outage(&mut self, away: Duration, meanwhile: impl FnOnce(&mut Self)) {
        self.server.stop();
        meanwhile(self);
        thread::sleep(away);
        self.server.launch(&[]);
        self.outages += 1;
    }

    /// One event, and what makes up for it.
    fn disturb(&mut self, random: &mut StdRng) {
        self.until_more_accepted(1);
        sleep_up_to(random, 600);
        let victims = (0..random.random_range(1..=REPLICAS)).map(|_| random.random_range(0..REPLICAS));
        let victims: Vec<usize> = victims.collect();
        let kill = |replicas: &mut Self| victims.iter().for_each(|victim| replicas.kill(*victim));
        match random.random_range(0..4) {
            0 => self.outage(Duration::from_millis(random.random_range(0..2000)), |_| ()),
            1 => self.outage(Duration::from_millis(random.random_range(0..500)), kill),
            _ => kill(self),
        }
        sleep_up_to(random, 600);
        self.restart();
    }

    /// Ends the load, waits until everything is delivered, and checks each account against the others.
    #[expect(clippy::print_stdout, reason = "figures for people, shown with --show-output")]
    fn finish(mut self) -> Finished {
        let refused = self.load.refused();
        let (accepted, sent) = self.load.finish();
        let service = self.running.iter_mut().find_map(Option::take).unwrap();
        let ledger = service.until_drained();
        assert_accounted(&ledger, accepted.len() as u64, sent);
        let count = |sql: &str| self.server.execute(DATABASE, sql).parse::<u64>().unwrap();
        // 6 is completed.
        let completed = count("SELECT count(*) FROM job WHERE state = 6");
        let all = count("SELECT count(*) FROM job");
        let arrivals = arrivals(&self.gateway);
        let lost: Vec<_> = accepted.iter().filter(|one| !arrivals.contains_key(&one.id)).collect();
        let twice = arrivals.values().filter(|times| **times > 1).count();
        let interrupted = count("SELECT coalesce(sum(unknowns), 0) FROM job");
        println!(
            "kills {}, outages {}, sent {sent}, accepted {}, refused {refused}, lost {}, arrived twice {twice}, \
             interrupted {interrupted}",
            self.kills,
            self.outages,
            accepted.len(),
            lost.len(),
        );
        assert!(lost.is_empty(), "lost: {lost:?}");
        let delivered = ledger.of("delivered");
        assert_eq!(
            [ledger.of("accepted"), completed, all, arrivals.len() as u64],
            [delivered; 4],
            "{ledger:?}"
        );
        let statuses = &self.gateway.stats()["statuses"];
        assert!(statuses.as_object().unwrap().keys().all(|status| status == "200"), "{statuses}");
        assert_explained(&service, &arrivals);
        assert!(interrupted <= (self.kills * WORKERS) as u64, "more than were in hand at the kills");
        assert_traced(&service, &accepted);
        self.running.iter().flatten().chain([&service]).for_each(|one| assert_only_outages(&one.output()));
        Finished { refused, twice, interrupted }
    }
}

struct Finished {
    refused: usize,
    twice: usize,
    interrupted: u64,
}

fn sleep_up_to(random: &mut StdRng, most_ms: u64) {
    thread::sleep(Duration::from_millis(random.random_range(0..most_ms)));
}

/// How often each id came.
fn arrivals(gateway: &Gateway) -> HashMap<String, usize> {
    let mut arrivals = HashMap::new();
    gateway.arrivals().into_iter().for_each(|id| *arrivals.entry(id).or_default() += 1);
    arrivals
}

/// Each repeat follows an attempt that is recorded as interrupted.
fn assert_explained(service: &Service, arrivals: &HashMap<String, usize>) {
    for (id, times) in arrivals.iter().filter(|(_, times)| **times > 1) {
        let shown = service.notification(id);
        let unknown = outcomes(&shown).iter().filter(|outcome| *outcome == "unknown").count();
        assert!(*times <= unknown + 1, "{id} came {times} times: {shown}");
    }
}

/// A share of what was accepted has the trace of the request that was.
fn assert_traced(service: &Service, accepted: &[Accepted]) {
    for one in accepted.iter().step_by(accepted.len().div_ceil(300).max(1)) {
        let shown = service.notification(&one.id);
        assert_eq!(shown["status"], "delivered");
        assert!(one.trace_id.as_ref().is_none_or(|trace| shown["traceId"] == trace.as_str()), "{shown}");
    }
}

fn assert_only_outages(output: &str) {
    let expected = |line: &str| OUTAGE.iter().any(|message| line.contains(message));
    let errors = output.lines().filter(|line| line.contains(r#""level":"ERROR""#) && !expected(line));
    let errors: Vec<&str> = errors.collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
#[expect(clippy::print_stdout, reason = "figures for people, shown with --show-output")]
fn nothing_accepted_is_lost_while_replicas_are_killed_and_the_server_crashes() {
    let seed = number("REPLICAS_SEED").unwrap_or_else(rand::random);
    let length = Duration::from_secs(number("REPLICAS_SECONDS").unwrap_or(30));
    println!("REPLICAS_SEED={seed}, {length:?}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut replicas = Replicas::start();
    let begun = Instant::now();
    while begun.elapsed() < length {
        replicas.disturb(&mut random);
    }
    assert!(replicas.kills > 0);
    replicas.finish();
}

#[test]
fn a_crashing_server_alone_makes_nothing_arrive_twice() {
    let mut replicas = Replicas::start();
    // The last is longer than a lease.
    for away in [0, 1000, 4000] {
        replicas.until_more_accepted(100);
        replicas.outage(Duration::from_millis(away), |_| ());
    }
    replicas.until_more_accepted(100);
    let finished = replicas.finish();
    assert_eq!((finished.twice, finished.interrupted), (0, 0));
}

#[test]
#[expect(clippy::print_stdout, reason = "figures for people, shown with --show-output")]
fn a_killed_replicas_jobs_are_picked_up_within_five_seconds() {
    const BOUND: Duration = Duration::from_secs(5);
    let _alone = ALONE.lock();
    let server = Server::start(&[]);
    // The workers of each are all in an attempt that never ends, one replica after the other.
    let stuck: Vec<(Gateway, Site, Service)> = (0..REPLICAS)
        .map(|_| {
            let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
            let site = site(&server, &gateway).with("APP_SMS__HTTP__TIMEOUT", "5m");
            let service = site.start_with_patient();
            (0..WORKERS).for_each(|_| drop(service.accept()));
            gateway.has_received(WORKERS);
            (gateway, site, service)
        })
        .collect();
    let gateway = Gateway::start();
    let site = site(&server, &gateway);
    let heir = site.start();
    heir.accept();
    gateway.has_received(1);
    let mut random = StdRng::from_os_rng();
    let mut killed = Vec::new();
    for (gateway, _site, service) in stuck {
        // At any moment between two heartbeats.
        sleep_up_to(&mut random, 700);
        service.kill();
        killed.push((Instant::now(), arrivals(&gateway)));
    }
    for (at, ids) in killed {
        until_so("the jobs are picked up", || {
            let arrived = arrivals(&gateway);
            ids.keys().all(|id| arrived.contains_key(id))
        });
        let took = at.elapsed();
        println!("picked up {took:?} after the kill");
        assert!(took < BOUND, "{took:?}");
        for id in ids.keys() {
            assert_eq!(outcomes(&heir.until_status(id, "delivered")), ["unknown", "delivered"]);
        }
    }
    assert_eq!(heir.recovered(), (REPLICAS * WORKERS) as u64);
    heir.stop();
}

/// What the next release's migration does, which only its own program can read.
const NEXT_RELEASE: &str = "BEGIN; SELECT pg_advisory_xact_lock(7305818);
    ALTER TABLE job ADD COLUMN next_release BIGINT NOT NULL DEFAULT 0;
    CREATE TABLE next_release (id BIGINT PRIMARY KEY);
    UPDATE schema_version SET version = version + 1, min_reader = version + 1 WHERE component = 'queue'; COMMIT";

#[test]
fn a_rolling_update_under_load_loses_and_refuses_nothing_and_an_older_program_does_not_start() {
    let mut replicas = Replicas::start();
    replicas.until_more_accepted(300);
    replicas.server.execute(DATABASE, NEXT_RELEASE);
    replicas.until_more_accepted(300);
    // The balancer takes one out, and then it is stopped.
    let oldest = replicas.running[0].take().unwrap();
    replicas.aim();
    oldest.stop();
    let (code, output) = replicas.sites[0].spawn().ended();
    assert_eq!(code, FAILURE, "{output}");
    assert!(output.contains("was written by a newer release (queue schema 2"), "{output}");
    replicas.until_more_accepted(300);
    let finished = replicas.finish();
    assert_eq!((finished.refused, finished.twice, finished.interrupted), (0, 0, 0));
}

#[test]
fn what_is_reported_to_one_replica_is_the_latest_on_each() {
    let _alone = ALONE.lock();
    let (server, gateway) = (Server::start(&[]), Gateway::start());
    let sites = [site(&server, &gateway), site(&server, &gateway)];
    let replicas = sites.each_ref().map(Site::start);
    for content in ["slept well", "slept \u{0}badly 😀"] {
        let report = serde_json::json!({ "patientId": "p-1", "content": content }).to_string();
        assert_eq!(replicas[0].ask("POST", REPORTS, &report).status, 201);
        for replica in &replicas {
            let latest = replica.get("/api/v1/patients/p-1/reports/latest");
            assert_eq!(latest.text("content"), content);
            replica.get("/api/v1/patients/p-2/reports/latest").problem(404, "not-found");
        }
    }
    replicas.into_iter().for_each(Service::stop);
}
