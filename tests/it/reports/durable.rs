//! Kills at random moments: every report that was answered is there, and each has its receipt or neither is.

use super::{report, submit};
use crate::support::service::{Service, Site};
use rand::Rng;
use rusqlite::Connection;
use std::{
    collections::BTreeMap,
    thread::{self, JoinHandle},
    time::Duration,
};

const KILLS: usize = 5;
const CLIENTS: usize = 6;

/// What one client was told of: patient and content by id. It ends when the service is gone.
fn client(service: &Service, name: String) -> JoinHandle<BTreeMap<String, (String, String)>> {
    let http = service.http;
    thread::spawn(move || {
        let mut told = BTreeMap::new();
        for number in 0.. {
            let (patient, content) = (format!("p-{name}"), format!("{name} {number}"));
            let body = report(&patient, &content);
            let sent = std::panic::catch_unwind(|| submit(http, Some(&format!("{name}-{number}")), &body));
            let Ok(answer) = sent else { return told };
            assert_eq!(answer.status, 201, "{answer:?}");
            told.insert(answer.text("reportId"), (patient, content));
        }
        told
    })
}

/// The one number that a query gives.
fn number(store: &Connection, sql: &str) -> i64 {
    store.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn nothing_answered_is_lost_and_no_kill_parts_a_report_from_its_receipt_and_key() {
    let site = Site::new().with("APP_REPORTS__RECEIPT", "sms");
    let mut told = BTreeMap::new();
    for kill in 0..KILLS {
        let service = site.start();
        let clients: Vec<_> = (0..CLIENTS).map(|of| client(&service, format!("{kill}-{of}"))).collect();
        thread::sleep(Duration::from_millis(rand::rng().random_range(30..300)));
        service.kill();
        clients.into_iter().for_each(|client| told.extend(client.join().unwrap()));
        let store = Connection::open(site.store()).unwrap();
        let kept = number(&store, "SELECT count(*) FROM reports");
        assert!(kept >= told.len() as i64, "{kept} kept, {} answered", told.len());
        for other in ["job", "idempotency"] {
            let sql = format!("SELECT count(*) FROM {other}");
            assert_eq!(number(&store, &sql), kept, "{other} after kill {kill}");
        }
        let apart = "SELECT count(*) FROM idempotency WHERE job NOT IN (SELECT id FROM reports)";
        assert_eq!(number(&store, apart), 0);
    }
    assert!(told.len() > KILLS, "too few to tell anything: {}", told.len());
    let service = site.start();
    for (id, (_, content)) in &told {
        assert_eq!(service.ask("GET", &format!("/api/v1/reports/{id}"), "").text("content"), *content);
    }
    let kept = number(&Connection::open(site.store()).unwrap(), "SELECT count(*) FROM reports") as u64;
    let ledger = service.until_drained();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (kept, kept));
}
