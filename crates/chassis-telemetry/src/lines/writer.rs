//! Lines on their way out: a bounded buffer that one thread swaps and writes.
//!
//! A reader of stdout that stalls blocks nobody: what does not fit is dropped and counted.

use std::io::{ErrorKind, Result, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{mem, thread};

use parking_lot::Mutex;

/// Where lines go.
pub(crate) type Output = Box<dyn Write + Send>;

/// About 40,000 lines: more than a second at the load that the bench accepts.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// A buffer that grew beyond this in a burst is given back.
const KEPT_BYTES: usize = 1024 * 1024;
/// How long lines gather: long enough that a write carries many, too short for a reader to notice.
const GATHER: Duration = Duration::from_millis(10);
/// How long an ERROR waits until it is written; a stalled reader costs this once, not once an ERROR.
const ERROR_WAIT: Duration = Duration::from_millis(5);
/// How long to leave an output alone that is full and does not block.
const FULL_OUTPUT_WAIT: Duration = Duration::from_millis(5);
/// How many threads may wait for their flush at once.
const MOST_CALLS: usize = 64;

/// Takes lines from any thread and writes them on its own, which ends with this.
pub(crate) struct LineWriter {
    /// One lock for all threads: they hold it for a copy of some hundred bytes.
    state: Arc<Mutex<State>>,
    calls: SyncSender<Call>,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// How many bytes are being written.
    writing: usize,
    written: u64,
    dropped: u64,
    /// The last ERROR waited in vain, and nothing was written since.
    stalled: bool,
    closed: bool,
}

/// Lines wait (`None`), or should be written at once, which is then answered.
type Call = Option<SyncSender<()>>;

impl LineWriter {
    pub fn start(output: Output) -> Result<Self> {
        let (calls, inbox) = sync_channel(MOST_CALLS);
        let state = Arc::<Mutex<State>>::default();
        let own = Arc::clone(&state);
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || run(&own, output, &inbox))?;
        Ok(Self { state, calls })
    }

    /// Takes a line that ends in a newline. An urgent one is written before this returns, unless the output stalls.
    pub fn push(&self, line: &[u8], urgent: bool) {
        let mut state = self.state.lock();
        if state.closed || state.waiting.len() + state.writing + line.len() > MOST_BYTES {
            state.dropped += 1;
            return;
        }
        let first = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        let urgent = urgent && !state.stalled;
        drop(state);
        if urgent {
            let stalled = !self.flush(ERROR_WAIT);
            self.state.lock().stalled = stalled;
        } else if first {
            let _ = self.calls.try_send(None);
        }
    }

    /// Writes everything that was pushed until now; `false` if that takes longer than `wait`.
    fn flush(&self, wait: Duration) -> bool {
        let (done, answer) = sync_channel(1);
        self.calls.try_send(Some(done)).is_ok() && answer.recv_timeout(wait).is_ok()
    }

    /// Flushes; lines that come later are dropped.
    pub fn close(&self, wait: Duration) -> bool {
        self.state.lock().closed = true;
        self.flush(wait)
    }

    /// Lines written, and lines dropped.
    pub fn account(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.written, state.dropped)
    }
}

/// The writing thread.
fn run(state: &Mutex<State>, mut output: Output, calls: &Receiver<Call>) {
    let mut taken = Vec::new();
    while let Ok(mut call) = calls.recv() {
        let gathered = Instant::now() + GATHER;
        while call.is_none() {
            match calls.recv_timeout(gathered.saturating_duration_since(Instant::now())) {
                Ok(next) => call = next,
                Err(_) => break,
            }
        }
        {
            let mut state = state.lock();
            mem::swap(&mut state.waiting, &mut taken);
            state.writing = taken.len();
        }
        let (written, refused) = taken.split_at(write(&mut output, &taken));
        // Outputs that buffer must not keep what is said to be written.
        let _ = output.flush();
        // Each line ends in its only newline.
        let lines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        {
            let mut state = state.lock();
            state.written += lines(written);
            state.dropped += lines(refused);
            (state.writing, state.stalled) = (0, false);
        }
        taken.clear();
        taken.shrink_to(KEPT_BYTES);
        let _ = call.map(|done| done.try_send(()));
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
            #[expect(clippy::disallowed_methods, reason = "the writing thread has nothing else to do")]
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(FULL_OUTPUT_WAIT),
            Err(_) => break,
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use std::io;

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
