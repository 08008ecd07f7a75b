//! How calls are shared between endpoints that are all healthy, as far as probes tell.

use super::{call, open, until_all_called};
use crate::support::instance::{Behaviour, Instance};
use std::time::Duration;

const SLOW: Behaviour = Behaviour {
    delay: Duration::from_millis(100),
    fails: false,
    says_not_serving: false,
    without_health: false,
};
const FAILING: Behaviour = Behaviour { delay: Duration::ZERO, fails: true, ..SLOW };

/// How many of these calls, so many at once, each instance takes, and how many fail.
async fn shares(instances: &[Instance], calls: usize, at_once: usize) -> (Vec<u64>, usize) {
    let channel = open(instances);
    until_all_called(&channel, instances).await;
    let before: Vec<u64> = instances.iter().map(Instance::calls).collect();
    let callers = (0..at_once).map(|_| async {
        let mut failed = 0;
        for _ in 0..calls / at_once {
            failed += usize::from(call(&channel).await.is_err());
        }
        failed
    });
    let failed = futures_util::future::join_all(callers).await.into_iter().sum();
    let taken = instances.iter().zip(before).map(|(instance, before)| instance.calls() - before);
    (taken.collect(), failed)
}

#[tokio::test]
async fn equal_endpoints_share_calls() {
    let instances = [Instance::start(), Instance::start(), Instance::start()];
    let (shares, failed) = shares(&instances, 900, 6).await;
    assert_eq!(failed, 0);
    assert!(shares.iter().all(|share| *share > 90), "{shares:?}");
}

// Half of a fair share, and more than is seen, since a machine that is busy makes all of them slow.
#[tokio::test]
async fn a_slow_endpoint_of_three_gets_clearly_less_than_a_third() {
    let instances = [Instance::start(), Instance::start(), Instance::behaving(SLOW)];
    let (shares, failed) = shares(&instances, 900, 6).await;
    assert_eq!(failed, 0);
    assert!(shares[2] < 150, "{shares:?}");
}

#[tokio::test]
async fn an_endpoint_that_fails_fast_attracts_no_calls() {
    let instances = [Instance::start(), Instance::start(), Instance::behaving(FAILING)];
    let (shares, failed) = shares(&instances, 900, 6).await;
    assert!(shares[2] < 150 && failed < 150, "{shares:?}, {failed} failed");
}
