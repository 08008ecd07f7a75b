//! Panics as ERROR lines, with the ids of the span that they happen in.

use std::panic::{self, PanicHookInfo};

/// Has every panic written as a line, in place of the text on stderr.
pub(super) fn install() {
    panic::set_hook(Box::new(report));
}

/// The payload is left out: it can hold any value, a patient's as well. An ERROR line is written at
/// once, so it is there even if the process ends with this panic.
fn report(info: &PanicHookInfo<'_>) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(location, "panicked");
}
