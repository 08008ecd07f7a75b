//! `kill -9` while batches are expanded: every member's job is there once, whatever the moment.

use super::{SMS, enrol_many, finished, send};
use crate::support::prelude::*;
use rand::Rng;
use std::{collections::HashSet, thread, time::Duration};

const PATIENTS: usize = 3000;
const KILLS: usize = 6;
/// An expansion takes half a second at least.
const LONGEST_LIFE_MS: u64 = 250;

#[test]
fn no_kill_loses_or_repeats_a_job_of_a_batch() {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway);
    let mut service = site.start();
    enrol_many(service.http, PATIENTS);
    let mut batches = Vec::new();
    let (mut cut, mut recovered) = (0, 0);
    for round in 0..KILLS {
        // A new one every third time: the others go on with what the kill has left of it.
        if round % 3 == 0 {
            batches.push(send(&service, SMS, PATIENTS));
        }
        thread::sleep(Duration::from_millis(rand::rng().random_range(0..LONGEST_LIFE_MS)));
        service.kill();
        service = site.start();
        // Counted at the start.
        cut += usize::from(service.metrics().sum("queue_batch_jobs_pending", &[]) > 0);
        recovered += service.recovered();
        assert_eq!(service.ledger().of("accepted"), (batches.len() * PATIENTS) as u64);
    }
    assert!(cut > 0, "no kill has met an expansion");
    let ledger = service.until_drained();
    let accepted = batches.len() * PATIENTS;
    assert_eq!(ledger.of("delivered"), accepted as u64, "{ledger:?}");
    for id in &batches {
        assert_eq!(finished(&service, id)["counts"]["delivered"], PATIENTS);
    }
    let arrivals = gateway.arrivals();
    let distinct: HashSet<&String> = arrivals.iter().collect();
    assert_eq!(distinct.len(), accepted, "ids at the gateway");
    // What came twice was in an attempt when it was killed.
    assert!(
        (arrivals.len() - distinct.len()) as u64 <= recovered,
        "{} of {}",
        arrivals.len(),
        distinct.len()
    );
    let output = service.stop_and_read();
    assert!(!output.contains(r#""level":"ERROR""#), "{output}");
}
