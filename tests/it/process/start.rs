//! How a service begins, and what it refuses to begin on.

use crate::support::{locked::Sqlite, prelude::*};
use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

/// Fails to start with 70, and returns what was said.
fn refused(site: &Site) -> String {
    let (code, output) = site.spawn().ended();
    assert_eq!(code, 70, "{output}");
    output
}

#[test]
fn a_second_instance_on_the_same_file_ends_with_70_and_says_why() {
    let site = Site::new();
    let first = site.start();
    let output = refused(&site);
    assert!(output.contains("in use by another instance"), "{output}");
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
    Sqlite::open(&site.store()).execute("PRAGMA wal_checkpoint(TRUNCATE)");
    let whole = fs::read(site.store()).unwrap();
    // No database at all, and one with broken pages.
    for from in [0, 100] {
        let mut damaged = whole.clone();
        damaged[from..4096].fill(b'x');
        fs::write(site.store(), &damaged).unwrap();
        let output = refused(&site);
        let told = output.contains("damaged") || output.contains("not an SQLite database");
        assert!(output.contains("store.db") && told, "{from}: {output}");
        assert_eq!(fs::read(site.store()).unwrap(), damaged, "{from}: evidence was overwritten");
    }
    // Restored from a backup, it works again.
    fs::write(site.store(), &whole).unwrap();
    site.start().stop();
}

#[test]
fn a_database_of_another_program_is_named_and_left_as_it_is() {
    let site = Site::new();
    fs::File::create(site.store()).unwrap();
    Sqlite::open(&site.store()).execute("CREATE TABLE job (somebody TEXT); INSERT INTO job VALUES ('else')");
    let before = fs::read(site.store()).unwrap();
    let output = refused(&site);
    assert!(output.contains("store.db") && !output.contains("unexpected"), "{output}");
    assert_eq!(fs::read(site.store()).unwrap(), before);
}

#[test]
fn a_store_that_would_not_be_where_it_seems_is_refused() {
    for url in [
        "sqlite://:memory:",
        "sqlite::memory:",
        "sqlite://~/store.db",
        "sqlite://~user/x.db",
        "sqlite://",
        "mysql://db/x",
        "sqlite:relative.db",
        "sqlite:/absolute.db",
        "sqlite:///",
        "sqlite://data/",
        "sqlite://x.db?mode=memory",
        "sqlite://x.db?synchronous=full",
        "sqlite://x.db#y",
        "sqlite://a%20b.db",
        "sqlite://$HOME/x.db",
        "sqlite://x.db\n",
        "file:x.db",
        "file:///x.db",
        "SQLITE://x.db",
        "x.db",
        "/x.db",
        " sqlite://x.db",
        "postgres://user@host:99999/database",
        "postgres://user@[::1/database",
        "postgres://user@host/database?sslmode=maybe",
    ] {
        let faults = Site::new().with("APP_STORE__URL", url).faults(&["check-config"]);
        assert!(faults.len() == 1 && faults[0].contains("APP_STORE__URL"), "{url}: {faults:?}");
    }
}

#[test]
fn no_file_of_the_store_can_be_read_by_another_user() {
    let mut site = Site::new();
    let folder = site.folder().join("data");
    site.set("APP_STORE__URL", &format!("sqlite://{}", folder.join("store.db").display()));
    let service = site.start_with_patient();
    service.accept();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "{files:?}");
    files.iter().for_each(|file| assert_eq!(mode(file), 0o600, "{file:?}"));
}

#[test]
fn a_store_behind_a_link_is_the_file_that_the_link_leads_to() {
    let (site, other) = (Site::new(), Site::new());
    let _service = site.start();
    symlink(site.store(), other.store()).unwrap();
    assert!(refused(&other).contains("in use"), "two programs would write one file");
}
