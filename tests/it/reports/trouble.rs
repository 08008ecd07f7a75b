//! A store that can't be written: refusals that leave nothing behind, and the one that may.

use super::{counted, grpc::submit as submit_rpc, latest, receipts, report, submit};
use crate::{
    grpc::client,
    support::{locked::Locked, prelude::*},
};
use tonic::Code;
use tonic_types::StatusExt;

#[tokio::test]
async fn a_locked_store_refuses_on_both_surfaces_leaves_nothing_and_goes_on_reading() {
    let site = Site::new().with("APP_REPORTS__RECEIPT", "sms");
    let service = site.start();
    let before = super::kept(&service, "p-1", "before");
    service.until_drained();
    let locked = Locked::new(&site);
    let seconds = submit(service.http, Some("key"), &report("p-1", "x")).problem(503, "store-unavailable");
    assert!(seconds.is_some_and(|seconds| seconds >= 1));
    let mut calls = client(&service).await;
    let refused = submit_rpc(&mut calls, Some("key"), ("p-1", "x")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.get_details_retry_info().is_some_and(|info| info.retry_delay.is_some()), "{refused:?}");
    assert!(refused.get_details_error_info().is_none(), "{refused:?}");
    assert_eq!(latest(&service, "p-1").text("reportId"), before);
    drop(locked);
    until_so("it is ready", || service.readiness().0);
    assert_eq!((counted(&service, "failure", "http"), counted(&service, "failure", "grpc")), (1, 1));
    let after = submit(service.http, Some("key"), &report("p-1", "x"));
    assert_eq!((after.status, replayed(&after)), (201, false), "{after:?}");
    assert_eq!((service.until_drained().of("accepted"), receipts(&service, "queued")), (2, 2));
}

#[tokio::test]
async fn a_commit_in_doubt_is_told_as_one_and_its_repeat_makes_no_second_report() {
    let site = Site::new().with("APP_HTTP__HANDLER_TIMEOUT", "1s").with("APP_REPORTS__RECEIPT", "sms");
    let service = site.start();
    super::kept(&service, "p-1", "before");
    service.until_drained();
    let locked = Locked::new(&site);
    submit(service.http, Some("doubt"), &report("p-1", "x")).problem(503, "commit-unknown");
    let mut calls = client(&service).await;
    let doubt = submit_rpc(&mut calls, Some("doubt"), ("p-2", "x")).await.unwrap_err();
    assert_eq!(doubt.code(), Code::Unavailable, "{doubt:?}");
    drop(locked);
    // The commit in doubt may still fail, and the store be tried again first.
    let repeat = || submit(service.http, Some("doubt"), &report("p-1", "x"));
    until_so("it is stored", || repeat().status == 201);
    let (sure, again) = (repeat(), repeat());
    assert_eq!((sure.status, replayed(&again), &sure.body), (201, true, &again.body), "{sure:?}");
    submit_rpc(&mut calls, Some("doubt"), ("p-2", "x")).await.unwrap();
    // One receipt for each report, kept in doubt or not.
    assert_eq!(service.until_drained().of("accepted"), 3);
}
