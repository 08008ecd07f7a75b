//! A store's file that another process holds.

use super::service::Site;
use rusqlite::Connection;

/// Holds the file's one place for a writer until it is dropped, as somebody's tool might.
pub struct Locked(Connection);

impl Locked {
    pub fn new(site: &Site) -> Self {
        let connection = Connection::open(site.store()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        Self(connection)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}
