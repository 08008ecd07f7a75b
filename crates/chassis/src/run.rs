//! What every service does around its own parts: telemetry first and last, the runtime, signals, the exit code.

use crate::{Shutdown, ShutdownError};
use chassis_http::server::raise_open_files;
use chassis_telemetry::{Setup, Telemetry};
use std::{error::Error, io::Write as _, process::ExitCode, time::Duration};
use tokio::runtime::{Builder, Handle};

/// The exit code for bad usage and configuration.
pub const USAGE: u8 = 64;
/// The exit code for everything else that went wrong.
pub const FAILURE: u8 = 70;
/// How long the last spans and lines may take to leave.
const FLUSH: Duration = Duration::from_secs(2);

/// Why a service cannot run, or did not stop as it should.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Runs a service until `serve` returns, or a second signal comes: 0 after `Ok`, 70 otherwise.
///
/// SIGTERM and SIGINT begin the [`Shutdown`]. `serve` ends with [`Shutdown::sequence`].
pub fn run(setup: Setup, serve: impl AsyncFnOnce(&Telemetry, Shutdown) -> Result<(), Failure>) -> ExitCode {
    let telemetry = match chassis_telemetry::init(setup) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            // There are no log lines yet.
            let _ = writeln!(std::io::stderr(), "{error}");
            return ExitCode::from(FAILURE);
        }
    };
    let runtime = Builder::new_multi_thread().enable_all().build().map_err(Failure::from);
    let ended = runtime.and_then(|runtime| {
        let ended = runtime.block_on(async {
            raise_open_files();
            telemetry.metrics().watch_runtime(&Handle::current());
            let shutdown = Shutdown::default();
            let second_signal = shutdown.watch_signals()?;
            tokio::select! {
                biased;
                () = second_signal => Err(ShutdownError::SecondSignal.into()),
                ended = serve(&telemetry, shutdown) => ended,
            }
        });
        // Tasks that outlive a shutdown that was cut short are not waited for.
        runtime.shutdown_background();
        ended
    });
    match &ended {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!(error = %error, "stopped"),
    }
    telemetry.shutdown(FLUSH);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) }
}
