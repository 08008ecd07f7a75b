//! What was built, of what: the metric `build_info`.

use metrics::gauge;

use crate::platform::telemetry::names;

/// The version of the `platform` folder, which a fork keeps as it is and replaces as a whole.
pub const PLATFORM_VERSION: &str = "0.1.0";

/// Sets `build_info` for a program of this version.
pub(super) fn tell(version: &str) {
    gauge!(
        names::BUILD_INFO,
        names::LABEL_VERSION => version.to_owned(),
        names::LABEL_PLATFORM_VERSION => PLATFORM_VERSION,
        names::LABEL_COMMIT => env!("BUILD_COMMIT"),
        names::LABEL_RUSTC => env!("BUILD_RUSTC"),
    )
    .set(1.0);
}
