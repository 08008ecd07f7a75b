//! Lines on their way out: per-thread buffers that one thread swaps and writes, bounded together.
//!
//! A reader of stdout that stalls blocks nobody: what does not fit is dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::shard;

/// Where lines go.
pub(crate) type Output = Box<dyn Write + Send>;

/// About 40,000 lines: more than a second at the load that the bench accepts.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// From this many bytes on the writing thread is called at once.
const CALL_AT_BYTES: usize = 256 * 1024;
/// A buffer that grew beyond this in a burst is given back.
const KEPT_BYTES: usize = 256 * 1024;
/// How long lines gather: long enough that a write carries many, too short for a reader to notice.
const GATHER: Duration = Duration::from_millis(10);
/// How long an ERROR waits until it is written; a stalled reader costs this once, not once an ERROR.
const ERROR_WAIT: Duration = Duration::from_millis(5);
/// How long to leave an output alone that is full and does not block.
const FULL_OUTPUT_WAIT: Duration = Duration::from_millis(5);

/// Takes lines from any thread and writes them on its own.
pub(crate) struct LineWriter {
    shards: shard::Shards<Shard>,
    waiting_bytes: AtomicUsize,
    state: Mutex<State>,
    /// The writing thread waits here for lines.
    work: Condvar,
    /// A flush waits here for the writing thread.
    done: Condvar,
    written: AtomicU64,
    /// Lines that were taken, but that the output refused.
    refused: AtomicU64,
}

#[derive(Default)]
struct Shard {
    bytes: Vec<u8>,
    lines: u64,
    dropped: u64,
    closed: bool,
}

#[derive(Debug, Default)]
struct State {
    /// There is something to write.
    called: bool,
    /// It should be written without gathering.
    urgent: bool,
    /// Rounds of writing that were begun and finished; what was pushed before a round begins is in it.
    begun: u64,
    finished: u64,
    /// The last ERROR waited in vain, and nothing was written since.
    stalled: bool,
    /// The thread ends after its next round.
    closing: bool,
}

impl LineWriter {
    /// Starts the writing thread.
    pub fn start(output: Output) -> io::Result<Arc<Self>> {
        let writer = Arc::new(Self {
            shards: shard::Shards::default(),
            waiting_bytes: AtomicUsize::new(0),
            state: Mutex::default(),
            work: Condvar::new(),
            done: Condvar::new(),
            written: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let own = Arc::clone(&writer);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || own.run(output))?;
        Ok(writer)
    }

    /// Takes a line that ends in a newline. An urgent one is written before this returns, unless the output stalls.
    pub fn push(&self, line: &[u8], urgent: bool) {
        if let Some(before) = self.keep(line) {
            let plenty = before < CALL_AT_BYTES && before + line.len() >= CALL_AT_BYTES;
            if before == 0 || plenty {
                self.call(plenty);
            }
        }
        if urgent && !self.state.lock().stalled && !self.flush(ERROR_WAIT) {
            self.state.lock().stalled = true;
        }
    }

    /// How many bytes waited before; `None` if the line is dropped.
    fn keep(&self, line: &[u8]) -> Option<usize> {
        let mut shard = self.shards.mine().lock();
        let before = self.waiting_bytes.fetch_add(line.len(), Ordering::Relaxed);
        if shard.closed || before + line.len() > MOST_BYTES {
            self.waiting_bytes.fetch_sub(line.len(), Ordering::Relaxed);
            shard.dropped += 1;
            return None;
        }
        shard.bytes.extend_from_slice(line);
        shard.lines += 1;
        Some(before)
    }

    fn call(&self, urgent: bool) {
        let mut state = self.state.lock();
        state.called = true;
        state.urgent |= urgent;
        self.work.notify_one();
    }

    /// Writes everything that was pushed until now; `false` if that takes longer than `wait`.
    pub fn flush(&self, wait: Duration) -> bool {
        let deadline = Instant::now() + wait;
        let mut state = self.state.lock();
        state.called = true;
        state.urgent = true;
        self.work.notify_one();
        let round = state.begun + 1;
        while state.finished < round {
            if self.done.wait_until(&mut state, deadline).timed_out() {
                return state.finished >= round;
            }
        }
        true
    }

    /// Flushes and ends the thread; lines that come later are dropped.
    pub fn close(&self, wait: Duration) -> bool {
        self.shards.all().for_each(|shard| shard.lock().closed = true);
        self.state.lock().closing = true;
        self.flush(wait)
    }

    /// Lines written, and lines dropped.
    pub fn account(&self) -> (u64, u64) {
        let dropped: u64 = self.shards.all().map(|shard| shard.lock().dropped).sum();
        (self.written.load(Ordering::Relaxed), dropped + self.refused.load(Ordering::Relaxed))
    }

    fn run(&self, mut output: Output) {
        let mut taken = Shard::default();
        loop {
            let last = self.await_round();
            for shard in self.shards.all() {
                {
                    let mut shard = shard.lock();
                    std::mem::swap(&mut shard.bytes, &mut taken.bytes);
                    taken.lines = std::mem::take(&mut shard.lines);
                }
                self.write(&mut output, &taken);
                if taken.bytes.capacity() > KEPT_BYTES {
                    taken.bytes = Vec::new();
                }
                taken.bytes.clear();
            }
            // Outputs that buffer must not keep what is said to be written.
            let _ = output.flush();
            let mut state = self.state.lock();
            state.finished = state.begun;
            state.stalled = false;
            // A line that came while others were written was not the first, and called nobody.
            state.called |= self.waiting_bytes.load(Ordering::Relaxed) > 0;
            self.done.notify_all();
            if last {
                return;
            }
        }
    }

    /// Waits for something to write and lets it gather; returns whether it is the last round.
    fn await_round(&self) -> bool {
        let mut state = self.state.lock();
        while !state.called {
            self.work.wait(&mut state);
        }
        let gathered = Instant::now() + GATHER;
        while !state.urgent && !self.work.wait_until(&mut state, gathered).timed_out() {}
        state.called = false;
        state.urgent = false;
        state.begun += 1;
        state.closing
    }

    fn write(&self, output: &mut Output, taken: &Shard) {
        let done = write_all(output, &taken.bytes);
        let written = match taken.bytes.get(done..) {
            None | Some([]) => taken.lines,
            // Each line ends in its only newline.
            Some(_) => taken.bytes.iter().take(done).filter(|&&byte| byte == b'\n').count() as u64,
        };
        self.written.fetch_add(written, Ordering::Relaxed);
        self.refused.fetch_add(taken.lines - written, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(taken.bytes.len(), Ordering::Relaxed);
    }
}

/// Writes until everything is written or the output fails for good; returns how many bytes it took.
fn write_all(output: &mut Output, bytes: &[u8]) -> usize {
    let mut done = 0;
    while let Some(rest @ [_, ..]) = bytes.get(done..) {
        match output.write(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pause(),
            Err(_) => break,
        }
    }
    done
}

#[expect(clippy::disallowed_methods, reason = "the writing thread has nothing else to do")]
fn pause() {
    thread::sleep(FULL_OUTPUT_WAIT);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Fails after so many bytes.
    struct Failing(usize);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            if count == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(count) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn every_line_of_every_thread_is_written_once() {
        let output = Shared::default();
        let writer = LineWriter::start(Box::new(output.clone())).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..5000).for_each(|_| writer.push(b"a line of some length\n", false)));
            }
        });
        assert!(writer.close(LONG));
        assert_eq!(writer.account(), (20_000, 0));
        assert_eq!(output.0.lock().len(), 20_000 * 22);
    }

    #[test]
    fn lines_of_an_idle_process_are_written_soon() {
        let output = Shared::default();
        let writer = LineWriter::start(Box::new(output.clone())).unwrap();
        writer.push(b"line\n", false);
        let mut state = writer.state.lock();
        while state.finished == 0 {
            assert!(!writer.done.wait_for(&mut state, LONG).timed_out());
        }
        assert_eq!(*output.0.lock(), b"line\n");
    }

    #[test]
    fn an_error_is_written_before_the_call_returns() {
        let writer = LineWriter::start(Box::new(Shared::default())).unwrap();
        // On a machine that stops for 5 ms the wait may end early, but not every time.
        let at_once = (0..100).any(|_| {
            writer.push(b"line\n", true);
            writer.account().0 > 0
        });
        assert!(at_once);
    }

    #[test]
    fn a_stalled_reader_blocks_nobody_bounds_memory_and_is_accounted() {
        let (reader, pipe) = io::pipe().unwrap();
        let writer = LineWriter::start(Box::new(pipe)).unwrap();
        let line = [vec![b'x'; 1023], vec![b'\n']].concat();
        let count = 20 * 1024u64;
        (0..count).for_each(|at| writer.push(&line, at % 1000 == 0));
        assert!(!writer.flush(Duration::from_millis(50)));
        let (_, dropped) = writer.account();
        assert!(dropped >= 3 * 1024, "{dropped}");
        // The reader comes back: what was kept arrives, and nothing is counted twice.
        let read = thread::Builder::new().spawn(move || count_lines(reader)).unwrap();
        assert!(writer.close(LONG));
        let (written, dropped) = writer.account();
        assert_eq!(written + dropped, count);
        drop(writer);
        assert_eq!(read.join().unwrap(), written);
    }

    fn count_lines(mut reader: io::PipeReader) -> u64 {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut reader, &mut bytes).unwrap();
        bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
    }

    #[test]
    fn lines_that_the_output_refuses_are_dropped_to_the_line() {
        let writer = LineWriter::start(Box::new(Failing(12))).unwrap();
        (0..10).for_each(|_| writer.push(b"line\n", false));
        assert!(writer.close(LONG));
        assert_eq!(writer.account(), (2, 8));
    }
}
