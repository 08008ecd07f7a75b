//! Reading connections: a few, opened when first needed, used on blocking threads. All reads that wait when
//! a thread comes to them share its way there and one snapshot; no read waits for others to come. A look-up is
//! done where it is asked when `in_place.rs` lets it.

use super::{
    StoreError, Tx,
    in_place::{InPlace, Not},
    sqlite::{BUSY_TIMEOUT, Database},
};
use crate::platform::task;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tracing::Span;

/// Threads at once, each with a connection.
const THREADS: usize = 4;
/// Reads that share a snapshot at most, so that a slow one holds up few.
const MOST: usize = 32;
/// How long a read may wait and run before it fails.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One read; whether it went well, and what answers its caller.
type Read = Box<dyn FnOnce(Result<&mut Tx<'_>, StoreError>) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce() + Send>;

pub(super) struct Readers {
    database: Database,
    idle: Mutex<Vec<Connection>>,
    waiting: Mutex<Waiting>,
    in_place: InPlace,
    answers: mpsc::UnboundedSender<Vec<Answer>>,
}

#[derive(Default)]
struct Waiting {
    reads: VecDeque<Read>,
    /// Threads that are at work or called.
    threads: usize,
    /// Whether a thread was called that has not looked here yet.
    called: bool,
}

impl Readers {
    /// Call inside the runtime that is to answer callers.
    pub(super) fn new(database: Database) -> Self {
        #[expect(clippy::disallowed_methods, reason = "it holds no more than the callers that wait")]
        let (answers, answered) = mpsc::unbounded_channel();
        task::spawn(answer_callers(answered));
        let in_place = InPlace::new(Handle::current().metrics().num_workers());
        Self { database, idle: Mutex::default(), waiting: Mutex::default(), in_place, answers }
    }

    /// Runs `read` in one snapshot, which is not older than this call.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it took over 10 s.
    pub(super) async fn read<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let span = Span::current();
        self.hand_over(Box::new(move |tx| {
            let result = tx.and_then(|tx| span.in_scope(|| read(tx)));
            // Nobody waits for it any more if it can't be sent.
            (result.is_ok(), Box::new(move || drop(answer.send(result))))
        }));
        match tokio::time::timeout(TIMEOUT, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::Statement("a read ended early".to_owned())),
            Err(_) => Err(StoreError::Unavailable("a read took too long")),
        }
    }

    /// As [`Self::read`] for what finds few rows by their keys, and may be run again after it failed: for when
    /// [`Self::look_up_here`] finds nothing.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn look_up<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let readers = Arc::clone(self);
        self.read(move |tx| {
            let begun = Instant::now();
            let found = read(tx);
            let now = Instant::now();
            readers.in_place.took(now - begun, now);
            found
        })
        .await
    }

    /// Looks up on the caller's own thread, in a snapshot that is not older than this call.
    ///
    /// # Errors
    /// It may not, or something stands in the way.
    pub(super) fn look_up_here<T>(
        &self,
        read: impl Fn(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, Not> {
        let begun = Instant::now();
        let _turn = self.in_place.turn(begun)?;
        // Opening one is the threads' business.
        let connection = self.idle.lock().pop().ok_or(Not::Here)?;
        let found = look_up_by(&connection, read);
        let now = Instant::now();
        self.in_place.took(now - begun, now);
        // A connection that failed is closed; the threads find out whether the look-up fails with another one, too.
        let found = found.map_err(|_| Not::Here)?;
        self.idle.lock().push(connection);
        Ok(found)
    }

    fn hand_over(self: &Arc<Self>, read: Read) {
        let mut waiting = self.waiting.lock();
        waiting.reads.push_back(read);
        self.call(&mut waiting);
    }

    /// Has a thread come, unless one is on its way or all are at work.
    fn call(self: &Arc<Self>, waiting: &mut Waiting) {
        if !waiting.called && waiting.threads < THREADS {
            waiting.called = true;
            waiting.threads += 1;
            let readers = Arc::clone(self);
            task::spawn_blocking_for_many(move || readers.work());
        }
    }

    /// Answers whoever waits, until nobody does.
    fn work(self: Arc<Self>) {
        loop {
            let reads = {
                let mut waiting = self.waiting.lock();
                waiting.called = false;
                let count = waiting.reads.len().min(MOST);
                let reads: Vec<Read> = waiting.reads.drain(..count).collect();
                if reads.is_empty() {
                    waiting.threads -= 1;
                    return;
                }
                if !waiting.reads.is_empty() {
                    self.call(&mut waiting);
                }
                reads
            };
            self.run(reads);
        }
    }

    fn run(&self, reads: Vec<Read>) {
        let mut answers = Vec::with_capacity(reads.len());
        match self.begin() {
            Ok(connection) => {
                let mut tx = Tx::new(&connection);
                let mut went_well = true;
                for read in reads {
                    went_well &= run_one(read, Ok(&mut tx), &mut answers);
                }
                drop(tx);
                let ended = connection.prepare_cached("COMMIT").and_then(|mut commit| commit.raw_execute());
                // A connection that failed is closed, so that the next read opens a fresh one.
                if ended.is_ok() && went_well {
                    self.idle.lock().push(connection);
                }
            }
            Err(error) => reads.into_iter().for_each(|read| {
                run_one(read, Err(error.clone()), &mut answers);
            }),
        }
        // Without a runtime nobody waits.
        let _ = self.answers.send(answers);
    }

    /// A connection at the begin of a snapshot.
    fn begin(&self) -> Result<Connection, StoreError> {
        let connection = self.idle.lock().pop();
        let connection = match connection {
            Some(connection) => connection,
            None => self.database.reader()?,
        };
        connection.prepare_cached("BEGIN")?.raw_execute()?;
        Ok(connection)
    }
}

/// One look-up in a snapshot of its own. It waits for nobody's lock; a panic, which the panic hook has told of, is
/// an error.
fn look_up_by<T>(
    connection: &Connection,
    read: impl Fn(&mut Tx<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.busy_timeout(Duration::ZERO)?;
    connection.prepare_cached("BEGIN")?.raw_execute()?;
    let mut tx = Tx::new(connection);
    let found = catch_unwind(AssertUnwindSafe(|| read(&mut tx)));
    drop(tx);
    connection.prepare_cached("COMMIT")?.raw_execute()?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    found.unwrap_or_else(|_| Err(StoreError::Statement("a look-up ended early".to_owned())))
}

/// Runs one read, and whether it went well; a panic, which the panic hook has told of, is its caller's alone.
fn run_one(read: Read, tx: Result<&mut Tx<'_>, StoreError>, answers: &mut Vec<Answer>) -> bool {
    let Ok((went_well, answer)) = catch_unwind(AssertUnwindSafe(|| read(tx))) else { return false };
    answers.push(answer);
    went_well
}

/// Answers batch after batch inside the runtime, where waking a caller costs no system call.
async fn answer_callers(mut answers: mpsc::UnboundedReceiver<Vec<Answer>>) {
    while let Some(batch) = answers.recv().await {
        batch.into_iter().for_each(|answer| answer());
    }
}

#[cfg(test)]
#[path = "readers_tests.rs"]
mod tests;
