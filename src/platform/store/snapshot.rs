//! A connection for looking up in place. It keeps its snapshot as long as nothing was written since: to begin and to
//! end one takes two system calls and as long as the look-up itself.

use super::{StoreError, Tx};
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// How long a snapshot is kept at most: what another program writes to the file is seen by then.
const OLDEST: Duration = Duration::from_millis(100);

pub(super) struct Reader {
    connection: Connection,
    snapshot: Option<Snapshot>,
}

struct Snapshot {
    /// How many writes there had been before it.
    writes: u64,
    begun: Instant,
}

impl Reader {
    /// Makes a reading connection one that waits for nobody's lock.
    pub fn new(connection: Connection) -> Self {
        // Fails for no reason that there is.
        let _ = connection.busy_timeout(Duration::ZERO);
        Self { connection, snapshot: None }
    }

    /// Looks up in a snapshot that is not older than `writes`, of which there have been so many at `now`.
    pub fn look_up<T>(
        &mut self,
        writes: u64,
        now: Instant,
        read: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let is_fresh = |snapshot: &Snapshot| snapshot.writes == writes && now - snapshot.begun < OLDEST;
        if !self.snapshot.as_ref().is_some_and(is_fresh) {
            self.let_go()?;
            // It is taken by the first statement, so it may well be newer.
            self.command("BEGIN")?;
            self.snapshot = Some(Snapshot { writes, begun: now });
        }
        read(&mut Tx::new(&self.connection))
    }

    /// Ends its snapshot if there has been a write since.
    pub fn let_go_if_old(&mut self, writes: u64) -> Result<(), StoreError> {
        match &self.snapshot {
            Some(snapshot) if snapshot.writes != writes => self.let_go(),
            _ => Ok(()),
        }
    }

    /// Ends its snapshot, which would keep the log from starting at its beginning again.
    pub fn let_go(&mut self) -> Result<(), StoreError> {
        match self.snapshot.take() {
            Some(_) => self.command("COMMIT"),
            None => Ok(()),
        }
    }

    fn command(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.connection.prepare_cached(sql)?.raw_execute().map(drop)?)
    }
}
