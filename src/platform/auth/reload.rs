//! Taking the key file in again when it changes or SIGHUP comes. A broken file changes nothing: the keys
//! from before stay, and it is told.

use super::{Key, KeyName, Keys, file, keys::Changes};
use crate::platform::{
    task,
    watch::{Watch, Why},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The names that one line tells at most.
const MOST_NAMES: usize = 20;

/// Watches the file from here on; the future takes it in for ever. What was read from it before may be old.
///
/// # Errors
/// If the handler of SIGHUP can't be installed.
pub fn follow_key_file(keys: Keys, path: PathBuf) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut watch = Watch::new([path.clone()])?;
    let mut reload = Reload { keys, path: path.into(), broken: false };
    Ok(async move {
        loop {
            let why = watch.changed().await;
            reload.run(why).await;
        }
    })
}

struct Reload {
    keys: Keys,
    path: Arc<Path>,
    /// Whether the file was so when it was last read.
    broken: bool,
}

impl Reload {
    async fn run(&mut self, why: Why) {
        let path = Arc::clone(&self.path);
        // A panic was logged by the panic hook; the keys stay as they are.
        let Ok(read) = task::spawn_blocking(move || file::read_keys(&path)).await else { return };
        match read {
            Ok(keys) => self.take(keys, why),
            Err(faults) => {
                self.broken = true;
                self.keys.reloads().failed.increment(1);
                let faults = faults.join("; ");
                tracing::error!(faults, "the API key file is broken: the keys from before stay in use");
            }
        }
    }

    fn take(&mut self, keys: Vec<Key>, why: Why) {
        let count = keys.len();
        let changes = self.keys.replace(keys);
        let was_broken = std::mem::take(&mut self.broken);
        if why == Why::Changed && !was_broken && changes == Changes::default() {
            return;
        }
        self.keys.reloads().ok.increment(1);
        let (added, removed) = (listed(&changes.added), listed(&changes.removed));
        let changed = listed(&changes.changed);
        tracing::info!(keys = count, added, removed, changed, "API keys are read again");
    }
}

/// The names for a line; how many more there are, where that is too long.
fn listed(names: &[KeyName]) -> String {
    let told: Vec<&str> = names.iter().take(MOST_NAMES).map(KeyName::as_str).collect();
    let more = names.len() - told.len();
    if more == 0 { told.join(",") } else { format!("{} and {more} more", told.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_twenty_keys_at_most() {
        let names: Vec<KeyName> = (0..22).map(|number| format!("k{number}").parse().unwrap()).collect();
        assert_eq!(listed(&names[..2]), "k0,k1");
        assert!(listed(&names).ends_with("k19 and 2 more"));
        assert_eq!(listed(&[]), "");
    }
}
