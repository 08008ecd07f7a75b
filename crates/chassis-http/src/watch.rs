//! Noticing that files have changed, or that an operator asks for them to be read again (SIGHUP).

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::Span;

/// Runs what blocks on a thread of its own, in the current span; `None` if it panicked, which the panic hook has logged.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let span = Span::current();
    #[expect(clippy::disallowed_methods, reason = "keeps the span")]
    let done = tokio::task::spawn_blocking(move || span.in_scope(work));
    done.await.ok()
}

/// The whole file, of at most so many bytes. What is wrong is said without a word of it.
pub(crate) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let cannot = |error: io::Error| format!("can't be read ({})", error.kind());
    // Opening a named pipe would wait for a writer.
    if !path.metadata().map_err(cannot)?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(cannot)?.take(most + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > most { Err(format!("is larger than {} KiB", most / 1024)) } else { Ok(bytes) }
}

/// Between two looks. A change is reported at the second look that finds the same, within a second.
const PAUSE: Duration = Duration::from_millis(500);

/// Loads these files again on each change and on SIGHUP, forever, and hands over what came of it, and whether it is to be
/// said even if it is what it was: somebody asked, or it was broken before.
pub(crate) async fn follow<T: Send + 'static, E: Send + 'static>(
    mut watch: Watch,
    load: impl Fn() -> Result<T, E> + Clone + Send + 'static,
    mut take: impl FnMut(Result<T, E>, bool),
) -> ! {
    let mut broken = false;
    loop {
        let asked = watch.changed().await;
        if let Some(loaded) = blocking(load.clone()).await {
            let failed = loaded.is_err();
            take(loaded, asked || broken);
            broken = failed;
        }
    }
}

/// Looks at files twice a second by the metadata of what their paths lead to, so that a write, a rename and a swapped
/// link all show. Two looks in a row have to agree, so that a file being written is left alone.
pub(crate) struct Watch {
    paths: Arc<[PathBuf]>,
    hangups: Signal,
    looks: Interval,
    reported: Option<Vec<Stamp>>,
    seen: Option<Vec<Stamp>>,
}

impl Watch {
    /// Watches these files, which need not exist. Needs a runtime; from here on SIGHUP ends nothing.
    ///
    /// # Errors
    /// The handler of SIGHUP can't be installed.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut looks = interval(PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hangups = signal(SignalKind::hangup())?;
        Ok(Self { paths: paths.into_iter().collect(), hangups, looks, reported: None, seen: None })
    }

    /// Resolves when the files are to be read again, and says whether SIGHUP asked for it. The first time is soon, since
    /// what was read before the watch began may have changed.
    async fn changed(&mut self) -> bool {
        loop {
            tokio::select! {
                // At once, whatever is being written: a key that was withdrawn is refused from now on.
                Some(()) = self.hangups.recv() => return true,
                _ = self.looks.tick() => if self.look().await {
                    return false;
                },
            }
        }
    }

    async fn look(&mut self) -> bool {
        let paths = Arc::clone(&self.paths);
        // Off the workers: a dead network mount blocks whoever asks for it.
        let found = blocking(move || paths.iter().map(stamp).collect());
        let Some(found) = found.await else { return false };
        let settled = self.seen.as_ref() == Some(&found);
        let news = self.reported.as_ref() != Some(&found);
        if settled && news {
            self.reported = Some(found);
            return true;
        }
        self.seen = Some(found);
        false
    }
}

/// What tells two states of a file apart: device, inode, size, and when content and metadata last changed. `None` where it
/// can't be had.
type Stamp = Option<(u64, u64, u64, [i64; 4])>;

fn stamp(path: &PathBuf) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
    Some((found.dev(), found.ino(), found.size(), times))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(5);

    async fn reported(watch: &mut Watch) -> bool {
        timeout(LONG, watch.changed()).await.expect("nothing was reported")
    }

    #[tokio::test]
    async fn a_write_a_rename_a_swapped_link_and_a_removal_are_each_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "1").unwrap();
        symlink(path("one"), path("link")).unwrap();
        let mut watch = Watch::new([path("link")]).unwrap();
        watch.looks = interval(SOON);
        assert!(!reported(&mut watch).await);
        let steps: [&dyn Fn(); 4] = [
            &|| fs::write(path("one"), "22").unwrap(),
            &|| {
                fs::write(path("new"), "33").unwrap();
                fs::rename(path("new"), path("one")).unwrap();
            },
            &|| {
                fs::write(path("two"), "44").unwrap();
                symlink(path("two"), path("next")).unwrap();
                fs::rename(path("next"), path("link")).unwrap();
            },
            &|| fs::remove_file(path("two")).unwrap(),
        ];
        for step in steps {
            step();
            assert!(!reported(&mut watch).await);
            for _ in 0..5 {
                assert!(!watch.look().await);
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut watch = Watch::new([path.clone()]).unwrap();
        watch.looks = interval(SOON);
        reported(&mut watch).await;
        for length in 1..20 {
            fs::write(&path, "x".repeat(length)).unwrap();
            assert!(!watch.look().await, "reported {length} bytes while more came");
        }
        assert!(watch.look().await);
    }
}
