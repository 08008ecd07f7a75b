//! A disk that fills up under the store: refusals that leave nothing behind, and recovery once there is room.

mod small_disk;

use self::small_disk::SmallDisk;
use crate::support::{
    gateway::Gateway,
    service::{ASYNC, MESSAGE, Service, Site},
};
use chassis_test::{Connection, until_so};

/// A site whose store is on the disk.
fn site_on(disk: &SmallDisk, gateway: &Gateway) -> Site {
    let mut site = Site::sending_to(gateway);
    site.set("APP_STORE__URL", &format!("sqlite://{}/store.db", disk.folder().display()));
    site.under = disk.enter();
    site
}

/// Submits until the first refusal, and returns what was accepted before it.
fn accept_until_refused(service: &Service) -> Vec<String> {
    let mut connection = Connection::open(service.http).unwrap();
    let mut accepted = Vec::new();
    loop {
        let answer = connection.send("POST", ASYNC, MESSAGE).unwrap();
        if answer.status != 202 {
            // Certain: what could not be written was rolled back.
            answer.problem(503, "store-unavailable");
            return accepted;
        }
        accepted.push(answer.text("id"));
    }
}

fn assert_full(service: &Service) {
    until_so("it is not ready", || !service.readiness().0);
    let (_, reason) = service.readiness();
    assert!(reason.contains("the disk is full"), "{reason}");
    let metrics = service.metrics();
    assert_eq!(metrics.sum("store_up", &[]), 0);
    until_so("the free bytes are told", || service.metrics().sum("store_free_bytes", &[]) < 64 * 1024);
}

#[test]
fn a_full_disk_refuses_and_loses_nothing_and_recovers_when_there_is_room() {
    let gateway = Gateway::behaving(r#"{"latency":"uniform:1ms,20ms"}"#);
    let disk = SmallDisk::mount("16m");
    let service = site_on(&disk, &gateway).start_with_patient();
    let mut accepted: Vec<String> = (0..20).map(|_| service.accept()).collect();
    for _ in 0..2 {
        disk.fill();
        accepted.extend(accept_until_refused(&service));
        assert_full(&service);
        disk.free();
        until_so("it is ready", || service.readiness().0);
        assert_eq!(service.metrics().sum("store_up", &[]), 1);
        accepted.push(service.accept());
    }
    let ledger = service.until_drained();
    let all = accepted.len() as u64;
    assert_eq!(
        (ledger.of("accepted"), ledger.of("delivered")),
        (all, all),
        "a refusal left something behind"
    );
    let mut arrivals = gateway.arrivals();
    arrivals.sort();
    accepted.sort();
    assert_eq!(arrivals, accepted, "something was lost or sent twice");
    service.stop();
}

#[test]
fn a_kill_on_a_full_disk_loses_nothing_either() {
    let gateway = Gateway::behaving(r#"{"latency":"uniform:1ms,20ms"}"#);
    let disk = SmallDisk::mount("16m");
    let site = site_on(&disk, &gateway);
    let service = site.start_with_patient();
    disk.fill();
    let accepted = accept_until_refused(&service);
    assert_full(&service);
    service.kill();
    disk.free();
    let service = site.start();
    let ledger = service.until_drained();
    let all = accepted.len() as u64;
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (all, all));
    let arrivals = gateway.arrivals();
    assert!(accepted.iter().all(|id| arrivals.contains(id)), "something was lost");
    service.stop();
}
