//! Reading connections: a few, opened when first needed, used on blocking threads. All reads that wait when
//! a thread comes to them share its way there and one snapshot; no read waits for others to come. A look-up is
//! done where it is asked when `in_place.rs` lets it.

use super::{
    StoreError, Tx,
    in_place::{InPlace, Not},
    metrics::LookUpMetrics,
    snapshot::Reader,
    sqlite::Database,
    status::Status,
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
/// How long a worker looks out for a connection that another one is about to give back: longer than a look-up
/// usually takes, and a fraction of what the way to a thread costs.
const LOOKOUT: Duration = Duration::from_micros(20);
/// How long a read may wait and run before it fails.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One read; whether it went well, and what answers its caller.
type Read = Box<dyn FnOnce(Result<&mut Tx<'_>, StoreError>) -> (bool, Answer) + Send>;
type Answer = Box<dyn FnOnce() + Send>;

pub(super) struct Readers {
    database: Database,
    idle: Mutex<Vec<Connection>>,
    waiting: Mutex<Waiting>,
    in_place: InPlace<Reader>,
    status: Arc<Status>,
    metrics: LookUpMetrics,
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
    pub(super) fn new(database: Database, status: Arc<Status>) -> Self {
        #[expect(clippy::disallowed_methods, reason = "it holds no more than the callers that wait")]
        let (answers, answered) = mpsc::unbounded_channel();
        task::spawn(answer_callers(answered));
        let in_place = InPlace::new(Handle::current().metrics().num_workers());
        Self {
            database,
            idle: Mutex::default(),
            waiting: Mutex::default(),
            in_place,
            status,
            metrics: LookUpMetrics::new(),
            answers,
        }
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

    /// As [`Self::read`] for what [`Self::look_up_here`] could not do.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) async fn look_up<T, F>(self: &Arc<Self>, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.metrics.on_thread.increment(1);
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
    /// `None` where it may not, or something stands in the way.
    pub(super) fn look_up_here<T>(
        &self,
        read: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>,
    ) -> Option<T> {
        let begun = Instant::now();
        let (mut reader, begun) = self.lent(begun)?;
        let writes = self.status.writes();
        // A panic, which the panic hook has told of, is an error. Whatever failed, the threads find out whether it
        // does with another connection, too.
        let found = catch_unwind(AssertUnwindSafe(|| reader.look_up(writes, begun, read)));
        let found = found.ok().and_then(Result::ok);
        let let_go = reader.let_go_if_old(self.status.writes());
        let now = Instant::now();
        self.in_place.give_back((found.is_some() && let_go.is_ok()).then_some(reader), now - begun, now);
        self.metrics.in_place.increment(found.is_some().into());
        found
    }

    /// A connection for looking up in place, and since when.
    fn lent(&self, begun: Instant) -> Option<(Reader, Instant)> {
        let mut now = begun;
        loop {
            match self.in_place.lend(now) {
                Ok(reader) => return Some((reader, now)),
                Err(Not::Now) if now - begun < LOOKOUT => std::hint::spin_loop(),
                Err(_) => return None,
            }
            now = Instant::now();
        }
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
                    self.put_away(connection);
                }
            }
            Err(error) => reads.into_iter().for_each(|read| {
                run_one(read, Err(error.clone()), &mut answers);
            }),
        }
        // Without a runtime nobody waits.
        let _ = self.answers.send(answers);
    }

    /// Keeps a connection for whoever needs one.
    fn put_away(&self, connection: Connection) {
        if self.in_place.is_short() {
            self.in_place.keep(Reader::new(connection));
        } else {
            self.idle.lock().push(connection);
        }
    }

    /// Ends all snapshots that nobody reads in, and those that are read in as soon as that is done.
    pub(super) fn let_go(&self) {
        self.status.wrote();
        self.in_place.for_idle(|reader| reader.let_go().is_ok());
    }

    /// Looks up nothing in place any more, and lets go of what that has kept.
    pub(super) fn close(&self) {
        self.in_place.close();
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
