//! `backup FILE` on a service at work: the copy is whole, for its owner alone, and starts as a store.

use crate::support::prelude::*;
use std::{fs, os::unix::fs::PermissionsExt as _};

#[test]
fn a_copy_of_a_service_at_work_holds_everything_acknowledged_before_it() {
    let gateway = Gateway::behaving(r#"{"latency":"200ms"}"#);
    let site = Site::sending_to(&gateway).with("APP_QUEUE__WORKERS", "4");
    let service = site.start_with_patient();
    let accepted: Vec<String> = (0..40).map(|_| service.accept()).collect();

    let restored = Site::sending_to(&gateway);
    let copy = restored.store();
    let made = site.run(&["backup", copy.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    let ledger = service.until_drained();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (40, 40));
    service.stop();

    let service = restored.start();
    let ledger = service.until_drained();
    assert_eq!((ledger.of("accepted"), ledger.of("delivered")), (40, 40), "{ledger:?}");
    accepted.iter().for_each(|id| assert_eq!(service.notification(id)["status"], "delivered"));
}

#[test]
fn no_copy_is_written_over_a_file_and_none_is_made_of_nothing() {
    let site = Site::new();
    let _service = site.start();
    let store = site.store();
    let made = site.run(&["backup", store.to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(70));
    let said = String::from_utf8(made.stderr).unwrap();
    assert!(said.contains("exists") && said.lines().count() == 1, "{said}");
    let empty = Site::new();
    let copy = store.with_extension("copy");
    assert_eq!(empty.run(&["backup", copy.to_str().unwrap()]).status.code(), Some(70));
    assert!(!copy.exists());
}
