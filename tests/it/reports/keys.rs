//! Idempotency keys of reports: one report, whatever comes between, on each surface.

use super::{
    counted,
    grpc::{client, submit as submit_rpc},
    latest, report, submit,
};
use crate::support::prelude::*;
use std::{collections::BTreeSet, thread};
use tonic::Code;

#[test]
fn repeats_at_the_same_time_make_one_report_and_all_get_its_answer() {
    let service = Site::new().start();
    let http = service.http;
    let callers: Vec<_> =
        (0..12).map(|_| thread::spawn(move || submit(http, Some("same"), &report("p-1", "once")))).collect();
    let answers: Vec<_> = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.status == 201), "{answers:?}");
    let bodies: BTreeSet<_> = answers.iter().map(|answer| answer.body.clone()).collect();
    let places: BTreeSet<_> = answers.iter().map(|answer| answer.header("location")).collect();
    assert_eq!((bodies.len(), places.len()), (1, 1), "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| !replayed(answer)).count(), 1);
    // What is counted is what is kept.
    assert_eq!((counted(&service, "success", "http"), counted(&service, "failure", "http")), (1, 0));
}

#[test]
fn a_key_survives_a_kill_and_belongs_to_its_bytes() {
    let site = Site::new();
    let service = site.start();
    let first = submit(service.http, Some("kept"), &report("p-1", "first"));
    service.kill();
    let service = site.start();
    let again = submit(service.http, Some("kept"), &report("p-1", "first"));
    assert_eq!((again.status, &again.body, replayed(&again)), (201, &first.body, true));
    submit(service.http, Some("kept"), &report("p-1", "second")).problem(422, "idempotency-key-reused");
    submit(service.http, Some("kept"), &report("p-2", "first")).problem(422, "idempotency-key-reused");
    assert_eq!(latest(&service, "p-1").text("reportId"), first.text("reportId"));
    // What was refused has used no key up.
    submit(service.http, Some("late"), &report("p-1", "")).problem(422, "invalid");
    assert!(!replayed(&submit(service.http, Some("late"), &report("p-1", "third"))));
    // A repeat of an older one changes nothing about which is the latest.
    assert!(replayed(&submit(service.http, Some("kept"), &report("p-1", "first"))));
    assert_eq!(latest(&service, "p-1").text("content"), "third");
}

#[tokio::test]
async fn over_grpc_a_repeat_gets_the_first_answer_and_another_message_is_invalid() {
    let site = Site::new();
    let service = site.start();
    let mut calls = client(&service).await;
    let first = submit_rpc(&mut calls, Some("kept"), ("p-1", "first")).await.unwrap();
    assert!(first.metadata().get("idempotency-replayed").is_none());
    service.kill();
    let service = site.start();
    let mut calls = client(&service).await;
    let again = submit_rpc(&mut calls, Some("kept"), ("p-1", "first")).await.unwrap();
    assert_eq!(again.metadata().get("idempotency-replayed").unwrap(), "true");
    assert_eq!(again.get_ref(), first.get_ref());
    let other = submit_rpc(&mut calls, Some("kept"), ("p-1", "second")).await.unwrap_err();
    assert_eq!(other.code(), Code::InvalidArgument, "{other:?}");
    // The same key over HTTP is another one.
    let over_http = submit(service.http, Some("kept"), &report("p-1", "first"));
    assert_eq!((over_http.status, replayed(&over_http)), (201, false));
    assert_ne!(over_http.text("reportId"), first.get_ref().report_id);
}
