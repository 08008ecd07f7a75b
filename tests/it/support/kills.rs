//! Kills at random moments under load, and what has to be true of everything that was accepted.

use super::{
    load::{Accepted, Load},
    prelude::*,
};
use rand::Rng;
use std::{
    collections::{HashMap, HashSet},
    thread,
    time::Duration,
};

const CLIENTS: usize = 8;
/// A service lives so long at most between being ready and being killed.
const LONGEST_LIFE_MS: u64 = 300;
/// One start in so many is killed as well, before it is ready.
const STARTS: u32 = 4;
const LONGEST_START_MS: u64 = 60;

/// A run of kills, and what was seen in it.
pub struct Kills {
    gateway: Gateway,
    service: Service,
    hold: bool,
    accepted: Vec<Accepted>,
    /// Interrupted attempts, as the starts have counted them.
    recovered: u64,
    sent: u64,
    refused: usize,
    kills: usize,
}

impl Kills {
    /// Kills so many services, each at a random moment under load, and leaves the next one running until
    /// its queue is empty.
    pub fn run(kills: usize, hold: bool) -> Self {
        let gateway = Gateway::behaving(r#"{"latency":"uniform:1ms,20ms"}"#);
        let (key, value) = if hold { ("ON_UNKNOWN", "hold") } else { ("MAX_UNKNOWN", "1000") };
        let site = Site::sending_to(&gateway).with(&format!("APP_RETRY__{key}"), value);
        // Under hold nobody is left in doubt, so that in the end accepted is exactly what was sent.
        let load = Load::start(CLIENTS, if hold { 0 } else { CLIENTS / 2 });
        let mut service = site.start_with_patient();
        let mut recovered = 0;
        for _ in 0..kills {
            load.aim(Some(service.http));
            // Every life accepts something, so that every kill has something to lose.
            load.until_accepted(load.accepted() + 1);
            sleep_up_to(LONGEST_LIFE_MS);
            assert_no_errors(&service);
            load.aim(None);
            service.kill();
            if rand::rng().random_ratio(1, STARTS) {
                let starting = site.spawn();
                sleep_up_to(LONGEST_START_MS);
                starting.kill();
            }
            let known = load.accepted();
            service = site.start();
            recovered += service.recovered();
            assert_accounted(&service.ledger(), known, load.sent());
        }
        load.aim(Some(service.http));
        let refused = load.refused();
        let (accepted, sent) = load.finish();
        service.until_drained();
        assert_no_errors(&service);
        Self { gateway, service, hold, accepted, recovered, sent, refused, kills }
    }

    /// Fails unless everything is as promised, and prints the figures for whoever reads the tests' output.
    #[expect(clippy::print_stdout, reason = "figures for people, shown with --show-output")]
    pub fn assert_kept(&self) {
        self.assert_consistent();
        let mut arrivals = HashMap::<String, usize>::new();
        self.gateway.arrivals().into_iter().for_each(|id| *arrivals.entry(id).or_default() += 1);
        let statuses = self.statuses();
        let kept = |id: &str, status: &str| match status {
            "delivered" => arrivals.contains_key(id),
            status => self.hold && status == "unknown",
        };
        let lost: Vec<_> = statuses.iter().filter(|(id, status)| !kept(id, status)).collect();
        let twice = arrivals.values().filter(|count| **count > 1).count();
        let (kills, accepted, recovered) = (self.kills, self.accepted.len(), self.recovered);
        println!(
            "kills {kills}, accepted {accepted}, refused {}, lost {}, arrived twice {twice}, recovered {recovered}",
            self.refused,
            lost.len()
        );
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert!(recovered > 0, "no kill has met an attempt");
        if self.hold {
            assert_eq!(twice, 0, "under hold nothing is sent again");
            // A start that was killed may have recovered some that no page of metrics tells.
            assert!(self.service.ledger().of("unknown") >= recovered);
        }
    }

    /// Each accepted notification's status by the service's word. Fails if it lost one, or gave it another
    /// trace than that of the request which was accepted.
    fn statuses(&self) -> HashMap<String, String> {
        let one = |accepted: &Accepted| {
            let shown = self.service.notification(&accepted.id);
            if let Some(trace_id) = &accepted.trace_id {
                assert_eq!(shown["traceId"], trace_id.as_str(), "{shown}");
            }
            (accepted.id.clone(), shown["status"].as_str().unwrap().to_owned())
        };
        let share = self.accepted.len().div_ceil(CLIENTS).max(1);
        thread::scope(|scope| {
            let parts = self.accepted.chunks(share);
            let workers: Vec<_> =
                parts.map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        })
    }

    /// Every id once, the ledger with all of them, and every request at the gateway with its own key.
    fn assert_consistent(&self) {
        let ids: HashSet<&str> = self.accepted.iter().map(|accepted| accepted.id.as_str()).collect();
        assert_eq!(ids.len(), self.accepted.len(), "an id was given twice");
        assert_accounted(&self.service.ledger(), self.accepted.len() as u64, self.sent);
        // The gateway refuses a message whose Idempotency-Key is not its id.
        let statuses = &self.gateway.stats()["statuses"];
        assert!(statuses.as_object().unwrap().keys().all(|status| status == "200"), "{statuses}");
    }
}

/// The ledger is exact, has everything that a client knows to be accepted, and nothing that none has sent.
pub fn assert_accounted(ledger: &Ledger, known: u64, sent: u64) {
    ledger.assert_exact();
    let accepted = ledger.of("accepted");
    assert!((known..=sent).contains(&accepted), "{known} known, {sent} sent: {ledger:?}");
}

fn sleep_up_to(most_ms: u64) {
    thread::sleep(Duration::from_millis(rand::rng().random_range(0..most_ms)));
}

fn assert_no_errors(service: &Service) {
    let output = service.output();
    let errors: Vec<&str> = output.lines().filter(|line| line.contains(r#""level":"ERROR""#)).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
