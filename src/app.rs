//! The composition root: the only file that knows both halves.

use crate::{
    config::Config,
    notify::{self, Notify},
    platform::{
        admin::{Admin, Pages},
        grpc::GrpcStack,
        health::{Check, Health},
        http::{self, Listed, Routes, Stack, openapi::Document},
        process::{self, Failure},
        queue::Queue,
        resilience::{Degradation, Feature, Pressure, Signal},
        shutdown::{Shutdown, watch_signals},
        store::{Store, config::StoreUrl},
        task::{self, Tasks},
        telemetry::{Service, Telemetry},
        tls::TlsConfig,
    },
    reports::{self, Reports},
};
use std::{net::SocketAddr, process::ExitCode, time::Duration};
use tokio::sync::oneshot;

/// Says what each type of problem means.
const API_PAGE: &str = include_str!("../docs/api.md");
/// A write waits this long for its turn at most, and less where handlers have less time.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is left out when there is too much to do, first to last.
const FEATURES: [Feature; 3] = [reports::PREVIEW, notify::BULK, reports::READS];

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
    let telemetry = config.telemetry.clone();
    process::run(service, &telemetry, async |telemetry| serve(config, telemetry, guarded).await)
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
    process::prepare(config.warnings(), telemetry);
    let (health, shutdown) = (Health::default(), Shutdown::default());
    // Known before anybody can ask, so that nothing is ready which has not said so.
    let (store_check, queue_check) = (health.check("store"), health.check("queue"));
    let tasks = Tasks::new(shutdown.clone());
    tasks.spawn("signals", watch_signals(shutdown.clone())?);
    let keys = process::open_door(&config.auth, &tasks)?;
    let http = bind(&tasks, "http", config.http.listen, config.http.tls.as_ref()).await?;
    let grpc = bind(&tasks, "grpc", config.grpc.listen, config.grpc.tls.as_ref()).await?;
    let admin_tls = process::follow_certificate(&tasks, "admin", config.admin.tls.as_ref())?;
    let degradation = Degradation::configured(&FEATURES, config.degradation.clone());
    let pages = process::pages(&health, telemetry, keys.clone());
    let pages = Pages { degradation: Some(degradation.clone()), ..pages };
    let admin = Admin::start(&config.admin, admin_tls, pages)?;
    let addresses = (http.address()?, grpc.address()?, admin.address());

    let store = open_store(&config)?;
    tasks.spawn_essential("store", follow_store(store.clone(), store_check));

    let notify = Notify::new(&config.notify, store.clone(), config.queue.workers)?;
    let handler = notify.deliverer();
    let queue = Queue::open(store.clone(), config.queue.clone(), notify::CHANNELS, handler).await?;
    let measured = queue.clone();
    telemetry.metrics.on_scrape(Box::new(move || measured.measure()));
    tasks.spawn_essential("dispatcher", queue.start());
    tasks.spawn_essential(
        "degradation",
        degradation.run(vec![queue_age(&queue, config.degradation.queue_age)]),
    );

    let admission = guarded.then(|| process::admission(&config.limits, telemetry, &tasks, keys));
    let reports = Reports::new(store.clone());
    let routes = routes(&notify, &queue, &degradation);
    let stack = Stack::shedding(routes, &config.http, admission.clone(), Some(degradation.clone()))?;
    let rpc = GrpcStack::new(reports.services(), &config.grpc, admission, degradation);
    let http_served = serve_on(&config, &tasks, "http", http, stack, &shutdown);
    let grpc_served = serve_on(&config, &tasks, "grpc", grpc, rpc, &shutdown);
    queue_check.ok();
    let (http, grpc, admin_at) = addresses;
    tracing::info!(http = %http, grpc = %grpc, admin = %admin_at, "ready");

    let drained = async {
        // Requests finish first: a synchronous one still makes its attempt.
        let _ = tokio::join!(http_served, grpc_served);
        queue.stop().await;
        close(store).await;
    };
    let ended = shutdown.sequence(&health, config.shutdown, drained).await;
    admin.stop();
    ended?;
    process::verdict(&shutdown)
}

/// How long due jobs wait for their first attempt, against what is allowed. It sheds what feeds the queue and
/// no more: reading reports keeps no worker from its jobs.
fn queue_age(queue: &Queue, allowed: Duration) -> Signal {
    let queue = queue.clone();
    Signal::new("queue_age", notify::BULK.level, move || {
        let lag = queue.lag();
        let pressure = Pressure::of(lag.waits.as_secs_f64(), allowed.as_secs_f64());
        Pressure { clears_in: Some(lag.clears_in), ..pressure }
    })
}

/// A bound listener, with its TLS.
async fn bind(
    tasks: &Tasks,
    name: &'static str,
    address: SocketAddr,
    tls: Option<&TlsConfig>,
) -> Result<http::Listener, Failure> {
    let tcp = http::bind(address).await?;
    Ok(http::Listener::new(name, tcp, process::follow_certificate(tasks, name, tls)?))
}

/// Serves a listener until the shutdown; the returned future resolves when its last connection is closed.
fn serve_on(
    config: &Config,
    tasks: &Tasks,
    name: &'static str,
    listener: http::Listener,
    service: impl http::Service,
    shutdown: &Shutdown,
) -> oneshot::Receiver<()> {
    let proxies = config.limits.clone();
    let trusted = move |peer| proxies.trusts(peer);
    let served = http::serve(listener, service, config.http.limits(), trusted, shutdown.stop());
    let (drained, drain) = oneshot::channel();
    tasks.spawn_essential(name, async move {
        served.await;
        // Nobody waits for it if the shutdown was cut short.
        let _ = drained.send(());
    });
    drain
}

/// Everything that is served: the domain's calls, and what explains them.
fn routes(notify: &Notify, queue: &Queue, degradation: &Degradation) -> Routes {
    let explained = Document::routes(document).merge(http::problem_pages(API_PAGE));
    notify.routes(queue.clone(), degradation.clone()).merge(explained)
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
