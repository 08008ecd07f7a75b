//! The composition root: the only file that knows both halves.

use crate::{
    config::Config,
    notify::{self, Notify},
    platform::{
        admin::{Admin, Pages, Version},
        admission::Admission,
        auth::{self, Keys},
        health::{Check, Health},
        http::{self, Listed, Routes, Stack, openapi::Document},
        limits::Limiter,
        queue::Queue,
        shutdown::{Shutdown, watch_signals},
        store::{Store, config::StoreUrl},
        task::{self, Tasks},
        telemetry::{self, Service, Telemetry},
        tls::{Tls, TlsConfig},
    },
};
use std::{error::Error, process::ExitCode, sync::Arc, time::Duration};

const FAILURE: u8 = 70;
/// Says what each type of problem means.
const API_PAGE: &str = include_str!("../docs/api.md");
/// For the last spans and lines, once everything else has ended.
const FLUSH: Duration = Duration::from_secs(2);
/// A write waits this long for its turn at most, and less where handlers have less time.
const PATIENCE: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error + Send + Sync>;

/// Runs the service until it is told to stop: 0 after a clean stop, 70 otherwise.
pub fn run(config: Config) -> ExitCode {
    run_with(config, true)
}

/// The same without asking who calls and how much they may: for measuring what that costs.
pub fn run_unguarded(config: Config) -> ExitCode {
    run_with(config, false)
}

fn run_with(config: Config, guarded: bool) -> ExitCode {
    let service = Service { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") };
    let telemetry = match telemetry::init(&config.telemetry, service) {
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
                let ended = runtime.block_on(serve(config, &telemetry, guarded));
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

/// Every route that is served.
pub fn listed() -> Vec<Listed> {
    [notify::listed(), Document::listed(), http::problem_pages(API_PAGE).list()].concat()
}

/// The API that is served, described.
pub fn document() -> Document {
    let about = "Notifications for patients by SMS and push: kept once accepted, delivered through a gateway, and \
        shown in what became of each. JSON in camelCase; times are RFC 3339; errors are problems after RFC 9457.";
    let info = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), about);
    Document::new(info, notify::openapi::TAGS, &listed(), notify::openapi::operations())
}

/// Binds every port, opens the store, then serves until the shutdown's end.
async fn serve(config: Config, telemetry: &Telemetry, guarded: bool) -> Result<(), Failure> {
    prepare(&config, telemetry);
    let (health, shutdown) = (Health::default(), Shutdown::default());
    // Known before anybody can ask, so that nothing is ready which has not said so.
    let (store_check, queue_check) = (health.check("store"), health.check("queue"));
    let tasks = Tasks::new(shutdown.clone());
    tasks.spawn("signals", watch_signals(shutdown.clone())?);
    let keys = open_door(&config, &tasks)?;
    let listener = http::bind(config.http.listen).await?;
    let (http_tls, admin_tls) = (
        follow_certificate(&tasks, "http", config.http.tls.as_ref())?,
        follow_certificate(&tasks, "admin", config.admin.tls.as_ref())?,
    );
    let admin = Admin::start(&config.admin, admin_tls, pages(&health, telemetry, keys.clone()))?;
    let (http_address, admin_address) = (listener.local_addr()?, admin.address());
    let listener = http::Listener::new("http", listener, http_tls);

    let store = open_store(&config)?;
    tasks.spawn_essential("store", follow_store(store.clone(), store_check));

    let notify = Notify::new(&config.notify, store.clone(), config.queue.workers)?;
    let handler = notify.deliverer();
    let queue = Queue::open(store.clone(), config.queue.clone(), notify::CHANNELS, handler).await?;
    let measured = queue.clone();
    telemetry.metrics.on_scrape(Box::new(move || measured.measure()));
    tasks.spawn_essential("dispatcher", queue.start());

    let admission = guarded.then(|| admission(&config, telemetry, &tasks, keys));
    let stack = Stack::new(routes(&notify, &queue), &config.http, admission)?;
    let proxies = config.limits.clone();
    let trusted = move |peer| proxies.trusts(peer);
    let served = http::serve(listener, stack, config.http.limits(), trusted, shutdown.stop());
    let (drained, drain) = tokio::sync::oneshot::channel();
    tasks.spawn_essential("http", async move {
        served.await;
        // Nobody waits for it if the shutdown was cut short.
        let _ = drained.send(());
    });
    queue_check.ok();
    tracing::info!(http = %http_address, admin = %admin_address, "ready");

    let drained = async {
        // Requests finish first: a synchronous one still makes its attempt.
        let _ = drain.await;
        queue.stop().await;
        close(store).await;
    };
    let ended = shutdown.sequence(&health, config.shutdown, drained).await;
    admin.stop();
    ended?;
    match shutdown.cause() {
        Some(crate::platform::shutdown::Cause::Failed { part }) => Err(format!("{part} ended").into()),
        _ => Ok(()),
    }
}

/// A listener's TLS, if it has files for it, which are read again whenever they change.
fn follow_certificate(
    tasks: &Tasks,
    listener: &'static str,
    config: Option<&TlsConfig>,
) -> Result<Option<Tls>, Failure> {
    let Some(config) = config else { return Ok(None) };
    let tls = Tls::open(listener, config)?;
    tasks.spawn("tls", tls.clone().follow()?);
    Ok(Some(tls))
}

/// Everything that is served: the domain's calls, and what explains them.
fn routes(notify: &Notify, queue: &Queue) -> Routes {
    let explained = Document::routes(document).merge(http::problem_pages(API_PAGE));
    notify.routes(queue.clone()).merge(explained)
}

fn prepare(config: &Config, telemetry: &Telemetry) {
    for warning in config.warnings() {
        tracing::warn!("{warning}");
    }
    http::raise_open_files();
    telemetry.metrics.watch_runtime(&tokio::runtime::Handle::current());
}

/// The keys that are known, taken in again when their file changes. That this goes on is essential: a key
/// that was withdrawn would stay known otherwise.
fn open_door(config: &Config, tasks: &Tasks) -> Result<Keys, Failure> {
    let Some(file) = &config.auth.key_file else { return Ok(Keys::open()) };
    let keys = Keys::of(file.keys.clone());
    tasks.spawn_essential("keys", auth::follow_key_file(keys.clone(), file.path.clone())?);
    Ok(keys)
}

fn pages(health: &Health, telemetry: &Telemetry, keys: Keys) -> Pages {
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
        metrics: Arc::new(move || metrics.render()),
        log_filter: Arc::new(move |text| filter.set(text)),
    }
}

fn open_store(config: &Config) -> Result<Store, Failure> {
    let StoreUrl::Sqlite { path, synchronous } = &config.store.url else {
        return Err("PostgreSQL is not built yet".into());
    };
    if !synchronous {
        tracing::warn!(
            "the store does not sync: a power cut loses what was acknowledged; for measuring only"
        );
    }
    let patience = PATIENCE.min(config.http.handler_timeout.mul_f32(0.8));
    let schemas = [crate::platform::queue::SCHEMA, notify::SCHEMA];
    Ok(Store::open(path, *synchronous, patience, &schemas)?)
}

/// Who may what, and how much of it, the same for all surfaces.
fn admission(config: &Config, telemetry: &Telemetry, tasks: &Tasks, keys: Keys) -> Admission {
    let limiter = Limiter::new(&config.limits);
    let measured = limiter.clone();
    telemetry.metrics.on_scrape(Box::new(move || measured.measure()));
    tasks.spawn_essential("rate-limit", limiter.clone().keep_clean());
    Admission::new(keys, limiter, &config.limits)
}

/// Tells readiness of the store's word; ends only if the committer has.
async fn follow_store(store: Store, check: Check) {
    let mut verdict = store.verdict();
    loop {
        match *verdict.borrow_and_update() {
            Ok(()) => check.ok(),
            Err(reason) => check.fail(reason),
        }
        if store.has_ended() || verdict.changed().await.is_err() {
            return;
        }
    }
}

/// Waits for the store's last commit, beside the runtime's workers.
async fn close(store: Store) {
    // A panic was logged by the panic hook.
    let _ = task::spawn_blocking(move || store.close()).await;
}
