//! Lines on their way out: a bounded buffer that one thread swaps and writes.
//!
//! A reader of stdout that stalls blocks nobody: what does not fit is dropped and counted.

use std::io::{ErrorKind, Result, Write};
use std::{mem, sync::Arc, thread, time::Duration};

use parking_lot::{Condvar, Mutex};

/// Where lines go.
pub(crate) type Output = Box<dyn Write + Send>;

/// About 40,000 lines: more than a second at the load that the bench accepts.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// A buffer that grew beyond this in a burst is given back.
const KEPT_BYTES: usize = 1024 * 1024;
/// How much is written at once: as it goes out there is room again, and its lines count.
const PIECE_BYTES: usize = 64 * 1024;
/// How long lines gather: long enough that a write carries many, too short for a reader to notice.
const GATHER: Duration = Duration::from_millis(10);
/// How long an ERROR waits until it is written; a stalled reader costs this once, not once an ERROR.
const ERROR_WAIT: Duration = Duration::from_millis(5);
/// How long to leave an output alone that is full and does not block.
const FULL_OUTPUT_WAIT: Duration = Duration::from_millis(5);

/// Takes lines from any thread and writes them on its own, which ends when this is closed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LineWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// One lock for all threads: they hold it for a copy of some hundred bytes.
    state: Mutex<State>,
    /// There are lines, or somebody waits for them.
    wake: Condvar,
    /// A buffer was written.
    done: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// How many bytes of those that are being written are not out yet.
    writing: usize,
    /// Lines that were taken, those of them that are settled, and those of these that were written.
    taken: u64,
    settled: u64,
    written: u64,
    /// Lines that were not taken.
    refused: u64,
    /// Somebody waits for what was taken.
    hurry: bool,
    /// The last ERROR waited in vain, and nothing was written since.
    stalled: bool,
    closed: bool,
}

impl LineWriter {
    pub fn start(output: Output) -> Result<Self> {
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || own.run(output))?;
        Ok(Self(shared))
    }

    /// Takes a line that ends in a newline. An urgent one is written before this returns, unless the output stalls.
    pub fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.0.state.lock();
        if state.closed || state.waiting.len() + state.writing + line.len() > MOST_BYTES {
            state.refused += 1;
            return;
        }
        if state.waiting.is_empty() {
            self.0.wake.notify_one();
        }
        state.waiting.extend_from_slice(line);
        state.taken += 1;
        if urgent && !state.stalled {
            drop(state);
            let stalled = !self.flush(ERROR_WAIT);
            self.0.state.lock().stalled = stalled;
        }
    }

    /// Writes everything that was taken until now; `false` if that takes longer than `wait`.
    fn flush(&self, wait: Duration) -> bool {
        let mut state = self.0.state.lock();
        let last = state.taken;
        state.hurry = true;
        self.0.wake.notify_one();
        !self.0.done.wait_while_for(&mut state, |state| state.settled < last, wait).timed_out()
    }

    /// Flushes; lines that come later are dropped.
    pub fn close(&self, wait: Duration) -> bool {
        self.0.state.lock().closed = true;
        self.flush(wait)
    }

    /// Lines written, and lines dropped.
    pub fn account(&self) -> (u64, u64) {
        let state = self.0.state.lock();
        (state.written, state.refused + state.settled - state.written)
    }
}

impl Shared {
    /// The writing thread.
    fn run(&self, mut output: Output) {
        let (mut bytes, mut closed) = (Vec::new(), false);
        while !closed {
            let taken = {
                let mut state = self.state.lock();
                self.wake.wait_while(&mut state, |state| state.waiting.is_empty() && !state.hurry);
                self.wake.wait_while_for(&mut state, |state| !state.hurry, GATHER);
                mem::swap(&mut state.waiting, &mut bytes);
                (state.writing, state.hurry, closed) = (bytes.len(), false, state.closed);
                state.taken
            };
            for piece in bytes.chunks(PIECE_BYTES) {
                let count = write(&mut output, piece);
                // Outputs that buffer must not keep what is said to be written.
                let _ = output.flush();
                // Each line ends in its only newline.
                let lines = piece.iter().take(count).filter(|&&byte| byte == b'\n').count() as u64;
                let mut state = self.state.lock();
                state.written += lines;
                state.settled += lines;
                state.writing -= piece.len();
                if count < piece.len() {
                    break;
                }
            }
            let mut state = self.state.lock();
            (state.settled, state.writing, state.stalled) = (taken, 0, false);
            self.done.notify_all();
            drop(state);
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES);
        }
    }
}

/// Writes until everything is written or the output fails for good; returns how many bytes it took.
fn write(output: &mut Output, bytes: &[u8]) -> usize {
    let mut done = 0;
    while let Some(rest @ [_, ..]) = bytes.get(done..) {
        match output.write(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::park_timeout(FULL_OUTPUT_WAIT),
            Err(_) => break,
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use std::{io, time::Instant};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    /// Fails after so many bytes.
    struct Failing(usize);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            if count == 0 { Err(ErrorKind::BrokenPipe.into()) } else { Ok(count) }
        }
        fn flush(&mut self) -> Result<()> {
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
        let begun = Instant::now();
        while writer.account().0 == 0 {
            assert!(begun.elapsed() < LONG);
            thread::yield_now();
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
