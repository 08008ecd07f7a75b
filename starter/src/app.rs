//! What the service is made of: in which order it is built, and how it stops. Read this first.

use crate::{
    config::Config,
    http::{self, Api},
    jobs::{self, Queue, Work},
    metrics,
};
use chassis::{Admin, Check, Failure, Health, Pages, Shutdown, Tasks, config::Settings as _};
use chassis_http::{Keys, Limits, server};
use chassis_queue::{QueueSetup, Store};
use chassis_resilience::{Degradation, Feature, Pressure, Signal};
use chassis_telemetry::{Service, Setup, Telemetry};
use chassis_traces::{PATH, Traces};
use std::{
    io::{IsTerminal as _, stdout},
    net::SocketAddr,
    process::ExitCode,
    sync::Arc,
};

pub const SERVICE: Service = Service {
    name: env!("CARGO_PKG_NAME"),
    version: env!("CARGO_PKG_VERSION"),
    commit: env!("BUILD_COMMIT"),
    rustc: env!("BUILD_RUSTC"),
};

/// What is shed under overload, first to last.
const FEATURES: [Feature; 1] = [jobs::ACCEPT];

/// Attribute keys that spans may carry besides the usual ones. Never a person's value.
pub const SAFE_ATTRIBUTES: &[&str] = &[];

/// Crates whose lines below WARN are written.
const LINE_TARGETS: &[&str] = &[env!("CARGO_CRATE_NAME")];

/// Runs the service until it is told to stop: 0 after a clean stop, 70 otherwise.
pub fn run(config: Config) -> ExitCode {
    let traces = Traces::new(config.admin.traces, config.admin.listen);
    let setup = Setup {
        log: config.log.clone(),
        safe_attributes: SAFE_ATTRIBUTES,
        line_targets: LINE_TARGETS,
        metrics: metrics::catalogue(),
        tap: traces.tap(),
        ..Setup::new(SERVICE)
    };
    chassis::run(setup, async |telemetry, shutdown| serve(config, traces, telemetry, shutdown).await)
}

/// Binds every listener, opens the store, then serves until the end of the shutdown.
async fn serve(
    config: Config,
    traces: Traces,
    telemetry: &Telemetry,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    config.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
    let tasks = Tasks::new(&shutdown);
    let health = Health::default();
    // Registered before anybody can ask, so that the service is not ready too soon.
    let (store_check, queue_check) = (health.check("store"), health.check("queue"));
    let keys = keys(&config, &tasks)?;
    let limits = Limits::new(&config.limits);
    let degradation = Degradation::new(&FEATURES, config.degradation.clone());

    let listener = server::bind("http", config.http.listen, &config.http.server.tls).await?;
    let address = listener.address()?;
    let routes = degradation.admin_routes().merge(traces.routes());
    let pages = Pages { health: health.clone(), keys: keys.clone(), service: SERVICE, routes };
    let admin = Admin::start(&config.admin, pages, telemetry).await?;

    let store = Store::open(&config.store, &[]).await?;
    tasks.spawn_essential("store", follow_store(store.clone(), store_check));
    let queue = open_queue(&config, store.clone()).await?;

    let running = queue.clone();
    let queue_task = tasks.spawn_essential("queue", async move { running.run().await });
    tasks.spawn_essential("degradation", degradation.run(vec![queue_age(&queue, &config)]));
    tasks.spawn("limits", limits.clone().clean_up());
    measure_on_scrape(telemetry, &queue, &limits);

    let router = http::router(Api { queue: queue.clone() }, &config, &keys, &limits, &degradation);
    let http = server::serve(listener, router, &config.http.server, shutdown.stop());
    let http = tasks.spawn_essential("http", http);
    queue_check.ok();
    tracing::info!(http = %address, admin = %admin.address(), "ready");
    suggest(address, admin.address(), keys.is_open() && traces.tap().is_some());
    shutdown.begun().await;

    let drained = async {
        // Requests finish first: what they enqueue is still committed.
        let work = async {
            queue.stop();
            queue_task.await
        };
        config.shutdown.drain(http, work).await;
        store.close().await;
    };
    let ended = shutdown.sequence(&health, &config.shutdown, drained).await;
    admin.stop().await;
    ended.map_err(Failure::from)
}

/// On a terminal, the last line of the start says what to try and where to look.
fn suggest(http: SocketAddr, admin: SocketAddr, open: bool) {
    if open && stdout().is_terminal() {
        let (json, body) = ("-H content-type:application/json", r#"{"text":"a few words"}"#);
        let curl = format!("curl {http}/api/v1/examples {json} -d '{body}'");
        tracing::info!("try: {curl}   and see its trace at http://{admin}{PATH}");
    }
}

fn measure_on_scrape(telemetry: &Telemetry, queue: &Queue, limits: &Limits) {
    let (queue, limits) = (queue.clone(), limits.clone());
    telemetry.metrics().on_scrape(move || {
        queue.measure();
        limits.measure();
    });
}

/// The API keys, which follow their file.
fn keys(config: &Config, tasks: &Tasks) -> Result<Keys, Failure> {
    let keys = config.auth.keys().map_err(|faults| faults.join("; "))?;
    if let Some(path) = &config.auth.api_keys_file {
        tasks.spawn("keys", keys.follow(path.clone())?);
    }
    Ok(keys)
}

async fn open_queue(config: &Config, store: Store) -> Result<Queue, Failure> {
    let setup = QueueSetup {
        names: jobs::NAMES,
        channels: jobs::CHANNELS,
        // No job has a precondition.
        guard: "1 = 1",
        config: config.queue.clone(),
        retry: config.retry.clone(),
        worker: Arc::new(Work),
    };
    Ok(Queue::open(store, setup).await?)
}

/// How long due jobs wait for their first attempt, in relation to what is allowed. It sheds what feeds the queue.
fn queue_age(queue: &Queue, config: &Config) -> Signal {
    let (queue, allowed) = (queue.clone(), config.degradation.queue_age);
    Signal::new("queue_age", jobs::ACCEPT.level, move || {
        let lag = queue.lag();
        let pressure = Pressure::of(lag.waits.as_secs_f64(), allowed.as_secs_f64());
        Pressure { clears_in: Some(lag.clears_in), ..pressure }
    })
}

/// Reports the store's health to readiness, for as long as the store lives.
async fn follow_store(store: Store, check: Check) {
    let mut outages = store.outages();
    loop {
        match *outages.borrow_and_update() {
            None => check.ok(),
            Some(reason) => check.fail(reason),
        }
        if outages.changed().await.is_err() {
            return;
        }
    }
}
