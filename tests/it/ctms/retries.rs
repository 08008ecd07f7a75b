//! How much more the ePRO service is asked when it fails than callers ask.

use crate::support::fleet::{Callers, INSTANCES};
use crate::support::instance::Instance;
use crate::support::prelude::*;
use std::{thread, time::Duration};

#[test]
fn when_all_fail_they_are_hardly_asked_more_than_callers_ask() {
    let instances: Vec<_> = (0..INSTANCES).map(|_| Instance::start()).collect();
    instances.iter().for_each(|instance| instance.fail(tonic::Code::Unavailable));
    let addresses: Vec<_> = instances.iter().map(|one| one.address).collect();
    let ctms = Site::ctms_before(&addresses).start();
    let up = || ctms.metrics().sum("rpc_client_endpoints", &[("state", "up")]);
    until_so("all endpoints are up", || up() == INSTANCES as u64);
    let callers = Callers::start(ctms.http, 8, Duration::from_millis(5));
    thread::sleep(Duration::from_secs(3));
    let asked = callers.finish();
    let attempts: u64 = instances.iter().map(Instance::calls).sum();
    // Without those that the breaker or the throttle kept here.
    let page = ctms.metrics();
    let kept = page.sum("rpc_client_refused_total", &[]) + page.sum("rpc_client_throttled_total", &[]);
    let made = asked.len() as u64 - kept;
    assert!(made > 0 && attempts * 100 < made * 110, "{attempts} attempts for {made} calls");
    assert!(asked.iter().all(|asked| asked.status == 503));
}
