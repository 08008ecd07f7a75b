//! What the service is built of, in which order, and how it stops.

use super::{
    Config, METRICS, NAME, api,
    reports::{METHODS, Reports},
};
use chassis::{Admin, Failure, Health, Pages, Shutdown, Tasks, config::Settings as _};
use chassis_http::{Limits, server};
use chassis_rpc::Channel;
use chassis_telemetry::{Service, Setup, Telemetry};
use chassis_traces::Traces;
use std::{process::ExitCode, sync::Arc};

const SERVICE: Service = Service {
    name: NAME,
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("BUILD_COMMIT"),
    rustc: env!("BUILD_RUSTC"),
};

/// Runs the service until it is told to stop: 0 after a clean stop, 70 otherwise.
pub fn run(config: Config) -> ExitCode {
    let traces = Traces::new(config.admin.traces, config.admin.listen);
    let setup = Setup {
        log: config.log.clone(),
        safe_attributes: &["source"],
        line_targets: &[env!("CARGO_CRATE_NAME")],
        metrics: vec![
            chassis::METRICS,
            chassis_http::METRICS,
            chassis_resilience::METRICS,
            chassis_rpc::METRICS,
            METRICS,
        ],
        tap: traces.tap(),
        ..Setup::new(SERVICE)
    };
    chassis::run(setup, async |telemetry, shutdown| serve(config, traces, telemetry, shutdown).await)
}

/// Whether the ePRO service can be reached does not matter here: a fault of one service does not take the other down.
async fn serve(
    config: Config,
    traces: Traces,
    telemetry: &Telemetry,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let (health, tasks) = (Health::default(), Tasks::new(&shutdown));
    let (http_check, epro_check) = (health.check("http"), health.check("epro"));
    let keys = config.auth.keys().map_err(|faults| faults.join("; "))?;
    if let Some(file) = &config.auth.api_keys_file {
        tasks.spawn("keys", keys.follow(file.clone())?);
    }
    let listener = server::bind("http", config.http.listen, &config.http.server.tls).await?;
    let pages =
        Pages { health: health.clone(), keys: keys.clone(), service: SERVICE, routes: traces.routes() };
    let admin = Admin::start(&config.admin, pages, telemetry).await?;
    let http = listener.address()?;

    let (channel, driver) = Channel::open("epro", &config.epro.client, METHODS)?;
    tasks.spawn_essential("epro-channel", driver);
    let reports = Arc::new(Reports::new(channel, config.epro.cache_max, epro_check));
    let limits = Limits::new(&config.limits);
    tasks.spawn("limits", limits.clone().clean_up());
    let (measured, measured_limits) = (Arc::clone(&reports), limits.clone());
    telemetry.metrics().on_scrape(move || {
        measured.measure();
        measured_limits.measure();
    });
    let router = api::router(reports, &config, &keys, &limits);
    let served = server::serve(listener, router, &config.http.server, shutdown.stop());
    let served = tasks.spawn_essential("http", served);
    http_check.ok();
    tracing::info!(%http, admin = %admin.address(), "ready");

    let drained = async { drop(served.await) };
    let ended = shutdown.sequence(&health, &config.shutdown, drained).await;
    admin.stop().await;
    ended.map_err(Failure::from)
}
