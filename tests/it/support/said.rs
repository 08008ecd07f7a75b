//! What a running service has said so far, and everything that it ever said.

use super::{service::Service, wait::until};
use rustix::process::Signal;
use serde_json::Value;
use std::{fs, path::Path};

impl Service {
    /// Everything that it has written to stdout and stderr.
    pub fn output(&self) -> String {
        text(&self.output) + &text(&self.errors)
    }

    /// Its whole log lines.
    pub fn lines(&self) -> Vec<Value> {
        self.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until at least so many lines have this message, and returns them: a line is written some
    /// milliseconds after what it tells.
    pub fn told(&self, message: &str, count: usize) -> Vec<Value> {
        until(&format!("{count} lines say {message:?}"), || {
            let told = self.lines().into_iter().filter(|line| line["message"] == message);
            Some(told.collect::<Vec<_>>()).filter(|told| told.len() >= count)
        })
    }

    /// Stops it as an operator does.
    pub fn stop(self) {
        self.stop_and_read();
    }

    /// Stops it, and returns everything that it ever said: what is not in it was not said.
    pub fn stop_and_read(self) -> String {
        self.signal(Signal::TERM);
        let (code, output) = self.ended();
        assert_eq!(code, 0, "{output}");
        output
    }
}

/// A file that may not be there yet, as text.
pub(super) fn text(file: &Path) -> String {
    fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
