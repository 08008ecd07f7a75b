//! Lines on their way out, written by a thread of their own.
//!
//! A reader of stdout that stalls blocks nobody: what does not fit is dropped and counted.

use std::io::{ErrorKind, Result, Write};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::{sync::Arc, thread, time::Duration};

use crate::buffer::{Account, Buffer};

/// Where lines go.
pub(crate) type Output = Box<dyn Write + Send>;

/// How long lines gather: long enough that a write carries many, too short for a reader to notice.
const GATHER: Duration = Duration::from_millis(10);
/// How long an ERROR waits until it is written; a stalled reader costs this once, not once an ERROR.
const ERROR_WAIT: Duration = Duration::from_millis(5);
/// How long to leave an output alone that is full and does not block.
const FULL_OUTPUT_WAIT: Duration = Duration::from_millis(5);

/// Takes lines from any thread and writes them on its own, which ends when this is closed. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LineWriter {
    buffer: Arc<Buffer<u8>>,
    /// The last ERROR waited in vain, and nothing was written since.
    stalled: Arc<AtomicBool>,
}

impl LineWriter {
    pub fn start(output: Output) -> Result<Self> {
        let writer = Self { buffer: Arc::new(Buffer::new(u64::MAX)), stalled: Arc::default() };
        let own = writer.clone();
        thread::Builder::new().name("log-writer".to_owned()).spawn(move || own.run(output))?;
        Ok(writer)
    }

    /// Takes a line that ends in a newline. An urgent one is written before this returns, unless the output stalls.
    pub fn push(&self, line: &[u8], urgent: bool) {
        self.buffer.push(line.len(), |waiting| waiting.extend_from_slice(line));
        if urgent && !self.stalled.load(Relaxed) {
            self.stalled.store(!self.buffer.flush(ERROR_WAIT), Relaxed);
        }
    }

    /// Flushes; lines that come later are dropped.
    pub fn close(&self, wait: Duration) -> bool {
        self.buffer.close(wait)
    }

    /// Lines written, and lines dropped.
    pub fn account(&self) -> (u64, u64) {
        let Account { sent, failed, dropped, .. } = self.buffer.account();
        (sent, failed + dropped)
    }

    /// The writing thread.
    fn run(&self, mut output: Output) {
        let lines = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        let (mut bytes, mut open) = (Vec::new(), true);
        while open {
            open = self.buffer.take(&mut bytes, GATHER);
            let (written, lost) = bytes.split_at(write(&mut output, &bytes));
            // Outputs that buffer must not keep what is said to be written.
            let _ = output.flush();
            // Each line ends in its only newline.
            self.buffer.settle(lines(written), lines(lost));
            self.stalled.store(false, Relaxed);
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

    use parking_lot::Mutex;

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
        let count = 24 * 1024u64;
        (0..count).for_each(|at| writer.push(&line, at % 1000 == 0));
        assert!(!writer.buffer.flush(Duration::from_millis(50)));
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
