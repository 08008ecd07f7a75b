//! What every service does around its own parts: telemetry first and last, the runtime and the exit code, the
//! keys, the rate limit, certificates, the admin pages. Which parts there are is its composition root's matter.

use crate::platform::{
    admin::{Pages, Version},
    admission::Admission,
    auth::{self, Keys, config::AuthConfig},
    health::Health,
    http,
    limits::{Limiter, config::LimitsConfig},
    shutdown::{Cause, Shutdown},
    task::Tasks,
    telemetry::{self, Service, Telemetry, TelemetryConfig},
    tls::{Tls, TlsConfig},
};
use std::{error::Error, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};
use tokio::sync::oneshot;

const FAILURE: u8 = 70;
/// For the last spans and lines, once everything else has ended.
const FLUSH: Duration = Duration::from_secs(2);

/// Why a service can't run, or could not stop as it should.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Runs a service until `serve` ends: 0 after a clean stop, 70 otherwise.
pub fn run(
    service: Service,
    config: &TelemetryConfig,
    serve: impl AsyncFnOnce(&Telemetry) -> Result<(), Failure>,
) -> ExitCode {
    let telemetry = match telemetry::init(config, service) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            // Lines are what could not be started.
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{error}\n"));
            return ExitCode::from(FAILURE);
        }
    };
    let ended =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::from).and_then(
            |runtime| {
                let ended = runtime.block_on(serve(&telemetry));
                // What still runs after a shutdown that was cut short is not waited for.
                runtime.shutdown_background();
                ended
            },
        );
    match &ended {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!(error = %error, "stopped"),
    }
    telemetry.shutdown(FLUSH);
    if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) }
}

/// What a service's end means once its shutdown is over: a failure if a part of it failed.
///
/// # Errors
/// Names the part.
pub fn verdict(shutdown: &Shutdown) -> Result<(), Failure> {
    match shutdown.cause() {
        Some(Cause::Failed { part }) => Err(format!("{part} ended").into()),
        _ => Ok(()),
    }
}

/// Says what the configuration warns of, and has the runtime measured.
pub fn prepare(warnings: Vec<String>, telemetry: &Telemetry) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    http::raise_open_files();
    telemetry.metrics.watch_runtime(&tokio::runtime::Handle::current());
}

/// A listener's TLS, if it has files for it, which are read again whenever they change.
///
/// # Errors
/// The files can't be used, or not be watched.
pub fn follow_certificate(
    tasks: &Tasks,
    listener: &'static str,
    config: Option<&TlsConfig>,
) -> Result<Option<Tls>, Failure> {
    let Some(config) = config else { return Ok(None) };
    let tls = Tls::open(listener, config)?;
    tasks.spawn("tls", tls.clone().follow()?);
    Ok(Some(tls))
}

/// A bound listener, with its TLS.
///
/// # Errors
/// The address can't be had, or the TLS files can't be used.
pub async fn bind(
    tasks: &Tasks,
    name: &'static str,
    address: SocketAddr,
    tls: Option<&TlsConfig>,
) -> Result<http::Listener, Failure> {
    let tcp = http::bind(address).await?;
    Ok(http::Listener::new(name, tcp, follow_certificate(tasks, name, tls)?))
}

/// Serves a listener until the shutdown; the returned future resolves when its last connection is closed.
pub fn serve(
    tasks: &Tasks,
    name: &'static str,
    listener: http::Listener,
    service: impl http::Service,
    (connections, limits): (http::Limits, &LimitsConfig),
    shutdown: &Shutdown,
) -> oneshot::Receiver<()> {
    let proxies = limits.clone();
    let trusted = move |peer| proxies.trusts(peer);
    let served = http::serve(listener, service, connections, trusted, shutdown.stop());
    let (drained, drain) = oneshot::channel();
    tasks.spawn_essential(name, async move {
        served.await;
        // Nobody waits for it if the shutdown was cut short.
        let _ = drained.send(());
    });
    drain
}

/// The keys that are known, taken in again when their file changes. That this goes on is essential: a key
/// that was withdrawn would stay known otherwise.
///
/// # Errors
/// The file can't be watched.
pub fn open_door(config: &AuthConfig, tasks: &Tasks) -> Result<Keys, Failure> {
    let Some(file) = &config.key_file else { return Ok(Keys::open()) };
    let keys = Keys::of(file.keys.clone());
    tasks.spawn_essential("keys", auth::follow_key_file(keys.clone(), file.path.clone())?);
    Ok(keys)
}

/// Who may what, and how much of it, the same for all surfaces.
pub fn admission(config: &LimitsConfig, telemetry: &Telemetry, tasks: &Tasks, keys: Keys) -> Admission {
    let limiter = Limiter::new(config);
    let measured = limiter.clone();
    telemetry.metrics.on_scrape(Box::new(move || measured.measure()));
    tasks.spawn_essential("rate-limit", limiter.clone().keep_clean());
    Admission::new(keys, limiter, config)
}

/// What the admin listener shows.
pub fn pages(health: &Health, telemetry: &Telemetry, keys: Keys) -> Pages {
    let (metrics, filter) = (telemetry.metrics.clone(), telemetry.filter.clone());
    Pages {
        health: health.clone(),
        keys,
        version: Version {
            version: env!("CARGO_PKG_VERSION"),
            platform_version: telemetry::PLATFORM_VERSION,
            commit: env!("BUILD_COMMIT"),
            rustc: env!("BUILD_RUSTC"),
        },
        metrics: Arc::new(move |exposition| metrics.render_as(exposition)),
        log_filter: Arc::new(move |text| filter.set(text)),
        degradation: None,
    }
}
