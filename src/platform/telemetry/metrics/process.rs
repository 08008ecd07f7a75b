//! What Tokio tells of a runtime: the `tokio_*` metrics.

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_metrics::{RuntimeMetricsReporterBuilder, RuntimeMonitor};

/// A hook that sets the metrics of `runtime`.
pub(super) fn watch(runtime: &Handle) -> Box<dyn Fn() + Send + Sync> {
    let builder = RuntimeMetricsReporterBuilder::default().describe();
    let reporter = Mutex::new(builder.build_with_monitor(RuntimeMonitor::new(runtime)));
    Box::new(move || reporter.lock().run_once())
}
