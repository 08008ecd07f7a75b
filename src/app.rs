//! The composition root: the only file that knows both halves.

use crate::{
    config::Config,
    notify::{self, Notify, Outbox, Text, Unqueued},
    platform::{
        admin::{Admin, Pages},
        grpc::{GrpcStack, Registration},
        health::{Check, Health},
        http::{self, Listed, Routes, Stack, openapi::Document},
        process::{self, Failure},
        queue::Queue,
        resilience::{Degradation, Feature, Pressure, Signal},
        shutdown::{Shutdown, watch_signals},
        store::{Store, config::StoreUrl},
        task::{self, Tasks},
        telemetry::{Service, Telemetry},
    },
    reports::{
        self, Receipts, Reports, Skipped,
        config::{Receipt, ReportsConfig},
    },
};
use std::{process::ExitCode, time::Duration};

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
    [notify::listed(), reports::listed(), Document::listed(), http::problem_pages(API_PAGE).list()].concat()
}

/// The API that is served, described.
pub fn document() -> Document {
    let about = "Notifications for patients by SMS and push: kept once accepted, delivered through a gateway, and \
        shown in what became of each. What patients report, and the latest of it. JSON in camelCase; times are \
        RFC 3339; errors are problems after RFC 9457.";
    let info = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), about);
    let tags = [notify::openapi::TAGS, reports::openapi::TAGS].concat();
    let operations = notify::openapi::operations().into_iter().chain(reports::openapi::operations());
    Document::new(info, &tags, &listed(), operations.collect())
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
    let http = process::bind(&tasks, "http", config.http.listen, config.http.tls.as_ref()).await?;
    let grpc = process::bind(&tasks, "grpc", config.grpc.listen, config.grpc.tls.as_ref()).await?;
    let admin_tls = process::follow_certificate(&tasks, "admin", config.admin.tls.as_ref())?;
    let degradation = Degradation::configured(&FEATURES, config.degradation.clone());
    let pages = process::pages(&health, telemetry, keys.clone());
    let pages = Pages { degradation: Some(degradation.clone()), ..pages };
    let admin = Admin::start(&config.admin, admin_tls, pages)?;
    let addresses = (http.address()?, grpc.address()?, admin.address());

    let store = open_store(&config)?;
    tasks.spawn_essential("store", follow_store(store.clone(), store_check));

    let notify = Notify::new(&config.notify, store.clone(), config.queue.workers)?;
    let deliverer = notify.deliverer();
    let queue = Queue::open(store.clone(), config.queue.clone(), notify::CHANNELS, deliverer).await?;
    let measured = queue.clone();
    telemetry.metrics.on_scrape(Box::new(move || measured.measure()));
    tasks.spawn_essential("dispatcher", queue.start());
    tasks.spawn_essential("degradation", degradation.run(vec![queue_age(&queue, &config)]));

    let admission = guarded.then(|| process::admission(&config.limits, telemetry, &tasks, keys));
    let receipts = receipts(&config.reports, |text| notify.outbox(queue.clone(), text), &degradation)?;
    let reports = Reports::open(store.clone(), receipts, &config.reports, degradation.clone()).await?;
    let routes = routes(&notify, &queue, &reports, &degradation);
    let stack = Stack::shedding(routes, &config.http, admission.clone(), Some(degradation.clone()))?;
    let services = reports.services().with_health(&health, shutdown.stop()).with_reflection()?;
    let rpc = GrpcStack::new(services, &config.grpc, admission, degradation);
    let limits = (config.http.limits(), &config.limits);
    let http_served = process::serve(&tasks, "http", http, stack, limits, &shutdown);
    let grpc_served = process::serve(&tasks, "grpc", grpc, rpc, limits, &shutdown);
    queue_check.ok();
    tracing::info!(http = %addresses.0, grpc = %addresses.1, admin = %addresses.2, "ready");
    // Until a shutdown begins; taken back before the listeners close, so that nobody is sent to them any more.
    Registration::start(config.grpc.register.as_ref(), addresses.1, &shutdown).withdrawn().await;

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
fn queue_age(queue: &Queue, config: &Config) -> Signal {
    let (queue, allowed) = (queue.clone(), config.degradation.queue_age);
    Signal::new("queue_age", notify::BULK.level, move || {
        let lag = queue.lag();
        let pressure = Pressure::of(lag.waits.as_secs_f64(), allowed.as_secs_f64());
        Pressure { clears_in: Some(lag.clears_in), ..pressure }
    })
}

/// Everything that is served: the domain's calls, and what explains them.
fn routes(notify: &Notify, queue: &Queue, reports: &Reports, degradation: &Degradation) -> Routes {
    let explained = Document::routes(document).merge(http::problem_pages(API_PAGE));
    notify.routes(queue.clone(), degradation.clone()).merge(reports.routes()).merge(explained)
}

/// How reports ask for a notification that goes into their own transaction, if patients get a receipt. It is
/// left out with bulk notifications: a report does not need it.
fn receipts(
    config: &ReportsConfig,
    outbox: impl FnOnce(Text) -> Outbox,
    degradation: &Degradation,
) -> Result<Option<Receipts>, Failure> {
    let text = match config.receipt {
        Receipt::None => return Ok(None),
        Receipt::Sms => Text::sms(&config.receipt_text)?,
        Receipt::Push => Text::push(&config.receipt_title, &config.receipt_text)?,
    };
    let (outbox, degradation) = (outbox(text), degradation.clone());
    Ok(Some(Box::new(move |patient| {
        let (outbox, patient) = (outbox.clone(), patient.clone());
        let admitted = degradation.admit(notify::BULK).map_err(|_shed| Skipped::Shed);
        Box::pin(async move {
            admitted?;
            outbox.reserve(patient.as_str()).await.map_err(|why| match why {
                Unqueued::NoContact => Skipped::NoContact,
                Unqueued::BacklogFull => Skipped::BacklogFull,
                Unqueued::StoreUnavailable => Skipped::StoreUnavailable,
            })
        })
    })))
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
    let schemas = [crate::platform::queue::SCHEMA, notify::SCHEMA, reports::SCHEMA];
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
