//! Noticing that files have changed, or that an operator asks for them to be read again (SIGHUP). What is
//! read from them, and what becomes of a broken one, is their readers' matter.

use super::task;
use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};

/// Between two looks. A change is told at the second look that finds the same, within a second.
const PAUSE: Duration = Duration::from_millis(500);

/// Why files are to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// They may have changed; they may also be what they were.
    Changed,
    /// SIGHUP.
    Asked,
}

/// Files that are looked at twice a second by their metadata, which is asked of the file that a link leads
/// to: a write, a rename over it and a swapped link all show.
///
/// A change is told once two looks in a row have found the same, so that a file being written is left alone.
pub struct Watch {
    paths: Arc<[PathBuf]>,
    hangups: Signal,
    looks: Interval,
    /// What was last told of; `None` before anything was.
    told: Option<Vec<Stamp>>,
    /// What the last look found.
    seen: Option<Vec<Stamp>>,
}

impl Watch {
    /// Watches these files, which need not be there. Needs a runtime; from here on SIGHUP ends nothing.
    ///
    /// # Errors
    /// If the handler of SIGHUP can't be installed.
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        Self::every(PAUSE, paths)
    }

    fn every(pause: Duration, paths: impl IntoIterator<Item = PathBuf>) -> io::Result<Self> {
        let mut looks = interval(pause);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let hangups = signal(SignalKind::hangup())?;
        Ok(Self { paths: paths.into_iter().collect(), hangups, looks, told: None, seen: None })
    }

    /// Resolves when the files are to be read again; for the first time soon, because what was read before
    /// the watch began may have changed since. Nothing is missed if it is dropped and called again.
    pub async fn changed(&mut self) -> Why {
        loop {
            tokio::select! {
                Some(()) = self.hangups.recv() => {
                    // Whatever is there now is read now; what comes later is told of as a change.
                    return Why::Asked;
                }
                _ = self.looks.tick() => {}
            }
            if self.look().await {
                return Why::Changed;
            }
        }
    }

    /// Whether there is something to tell of.
    async fn look(&mut self) -> bool {
        let paths = Arc::clone(&self.paths);
        // Off the workers: a mount that is gone holds up whoever asks for it.
        let found = task::spawn_blocking(move || paths.iter().map(|path| Stamp::of(path)).collect());
        let Ok(found) = found.await else { return false };
        let settled = self.seen.as_ref() == Some(&found);
        let news = self.told.as_ref() != Some(&found);
        if settled && news {
            self.told = Some(found);
            return true;
        }
        self.seen = Some(found);
        false
    }
}

/// What tells two states of a file apart; that of one which can't be had is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(Option<[i128; 5]>);

impl Stamp {
    /// Device, inode, size in bytes, and when content and metadata last changed in nanoseconds.
    fn of(path: &Path) -> Self {
        const SECOND: i128 = 1_000_000_000;
        Self(std::fs::metadata(path).ok().map(|found| {
            [
                i128::from(found.dev()),
                i128::from(found.ino()),
                i128::from(found.size()),
                i128::from(found.mtime()) * SECOND + i128::from(found.mtime_nsec()),
                i128::from(found.ctime()) * SECOND + i128::from(found.ctime_nsec()),
            ]
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use rustix::process::{Signal as Sent, getpid, kill_process};
    use std::{fs, os::unix::fs::symlink};
    use tokio::time::timeout;

    const LONG: Duration = Duration::from_secs(20);
    const SOON: Duration = Duration::from_millis(5);

    async fn told(watch: &mut Watch) -> Why {
        timeout(LONG, watch.changed()).await.expect("nothing was told")
    }

    /// Looks again until what is there has been told of: further looks tell nothing.
    async fn is_quiet(watch: &mut Watch) {
        for _ in 0..5 {
            assert!(!watch.look().await);
        }
    }

    #[tokio::test]
    async fn a_write_a_rename_a_swapped_link_and_a_removal_are_each_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "1").unwrap();
        symlink(path("one"), path("link")).unwrap();
        let mut watch = Watch::every(SOON, [path("link")]).unwrap();
        assert_eq!(told(&mut watch).await, Why::Changed);
        is_quiet(&mut watch).await;
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
            assert_eq!(told(&mut watch).await, Why::Changed);
            is_quiet(&mut watch).await;
        }
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut watch = Watch::every(SOON, [path.clone()]).unwrap();
        told(&mut watch).await;
        for length in 1..20 {
            fs::write(&path, "x".repeat(length)).unwrap();
            assert!(!watch.look().await, "told of {length} bytes while more came");
        }
        assert!(watch.look().await);
    }

    #[tokio::test]
    async fn every_watch_hears_a_hangup() {
        let mut watches = [Watch::new([]).unwrap(), Watch::new([]).unwrap()];
        for watch in &mut watches {
            told(watch).await;
        }
        kill_process(getpid(), Sent::HUP).unwrap();
        for watch in &mut watches {
            assert_eq!(told(watch).await, Why::Asked);
            assert!(watch.changed().now_or_never().is_none());
        }
    }
}
