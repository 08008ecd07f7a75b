//! Kills at random moments: every report that was answered is there, and each has its receipt or neither is.

use super::{report, submit};
use crate::support::prelude::*;
use rand::Rng;
use std::{
    collections::BTreeMap,
    thread::{self, JoinHandle},
    time::Duration,
};

const KILLS: usize = 5;
const CLIENTS: usize = 6;

/// What one client sent: the content by its key, and the report's id where it was answered.
type Told = BTreeMap<String, (String, Option<String>)>;

/// Sends reports one after the other, until the service is gone.
fn client(service: &Service, name: String) -> JoinHandle<Told> {
    let http = service.http;
    thread::spawn(move || {
        let mut told = Told::new();
        for number in 0.. {
            let key = format!("{name}-{number}");
            let body = report("p-1", &key);
            let answered = Connection::open(http)
                .and_then(|mut open| open.send_with("POST", REPORTS, &[("idempotency-key", &key)], &body));
            let id = answered.as_ref().ok().map(|answer| {
                assert_eq!(answer.status, 201, "{answer:?}");
                answer.text("reportId")
            });
            let gone = id.is_none();
            told.insert(key.clone(), (key, id));
            if gone {
                break;
            }
        }
        told
    })
}

#[test]
fn nothing_answered_is_lost_and_no_kill_parts_a_report_from_its_receipt_and_key() {
    let site = Site::new().with("APP_REPORTS__RECEIPT", "sms");
    let mut told = Told::new();
    for kill in 0..KILLS {
        let service = site.start();
        let clients: Vec<_> = (0..CLIENTS).map(|of| client(&service, format!("{kill}-{of}"))).collect();
        thread::sleep(Duration::from_millis(rand::rng().random_range(30..300)));
        service.kill();
        clients.into_iter().for_each(|client| told.extend(client.join().unwrap()));
    }
    let service = site.start();
    let (mut answered, mut kept) = (0, 0);
    // A key without an answer was stored with its report, or is new now.
    for (key, (content, id)) in &told {
        let again = submit(service.http, Some(key), &report("p-1", content));
        assert_eq!(again.status, 201, "{again:?}");
        kept += u64::from(replayed(&again));
        if let Some(id) = id {
            answered += 1;
            assert_eq!((replayed(&again), &again.text("reportId")), (true, id), "{key} was lost");
            assert_eq!(service.get(&format!("{REPORTS}/{id}")).text("content"), *content);
        }
    }
    assert!(answered > KILLS && kept >= answered as u64, "{answered} answered, {kept} kept");
    // One receipt for each report: none is without, and none stands alone.
    assert_eq!(service.until_drained().of("accepted"), told.len() as u64);
}
