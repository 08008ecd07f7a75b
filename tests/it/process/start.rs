//! How a service begins, and what it refuses to begin on.

use crate::support::{
    service::{MESSAGE, SYNC, Site},
    wait::until,
};
use std::{
    fs,
    time::{Duration, Instant},
};

#[test]
fn the_first_request_is_answered_within_a_second_of_the_start() {
    // The best of a few: beside other tests a start may have to wait for its turn.
    let best = (0..5).map(|_| {
        let site = Site::new();
        let begun = Instant::now();
        let service = site.start();
        assert_eq!(service.ask("POST", SYNC, MESSAGE).status, 200);
        begun.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
}

#[test]
fn a_second_instance_on_the_same_file_ends_with_70_and_says_why() {
    let site = Site::new();
    let first = site.start();
    let (code, output) = site.spawn().ended();
    assert_eq!(code, 70, "{output}");
    assert!(output.contains("is in use by another instance"), "{output}");
    // The first one has not noticed.
    first.accept();
    first.kill();
    // The kernel has let go of the dead one's lock.
    site.start().stop();
}

#[test]
fn a_damaged_file_ends_the_start_with_70_and_is_left_as_it_is() {
    let site = Site::new();
    let service = site.start();
    service.accept();
    service.stop();
    // The last one to close the file brings its log into it.
    rusqlite::Connection::open(site.store()).unwrap().execute_batch("SELECT count(*) FROM job").unwrap();
    for damage in [Damage::NoDatabase, Damage::BrokenPages] {
        let whole = fs::read(site.store()).unwrap();
        let mut damaged = whole.clone();
        let from = if damage == Damage::NoDatabase { 0 } else { 100 };
        damaged[from..4096].fill(b'x');
        fs::write(site.store(), &damaged).unwrap();
        let (code, output) = site.spawn().ended();
        assert_eq!(code, 70, "{damage:?}: {output}");
        assert!(output.contains("store.db can't be opened"), "{damage:?}: {output}");
        assert!(output.contains("the file is damaged"), "{damage:?}: {output}");
        assert_eq!(fs::read(site.store()).unwrap(), damaged, "{damage:?}: evidence was overwritten");
        fs::write(site.store(), &whole).unwrap();
    }
    // Restored from a backup, it works again.
    site.start().stop();
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    NoDatabase,
    BrokenPages,
}

#[test]
fn a_file_from_a_newer_release_ends_the_start_with_70_and_names_what_it_needs() {
    let site = Site::new();
    site.start().stop();
    let file = rusqlite::Connection::open(site.store()).unwrap();
    file.execute("UPDATE schema_version SET version = 99, min_reader = 99 WHERE component = 'queue'", ())
        .unwrap();
    drop(file);
    let (code, output) = site.spawn().ended();
    assert_eq!(code, 70, "{output}");
    let said = "was written by a newer release (queue schema 99, which needs a reader of at least 99";
    assert!(output.contains(said), "{output}");
}

#[test]
fn a_newer_file_that_still_allows_this_reader_is_read_on() {
    let site = Site::new();
    site.start().stop();
    let file = rusqlite::Connection::open(site.store()).unwrap();
    file.execute("UPDATE schema_version SET version = 99 WHERE component = 'queue'", ()).unwrap();
    drop(file);
    let service = site.start();
    service.accept();
    until("the warning", || service.output().contains("written by a newer release").then_some(()));
    service.stop();
}
