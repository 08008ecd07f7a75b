//! The composition root of the service: its parts, from configuration to the end of its shutdown.

use super::{
    NAME, api,
    cache::{Cache, MOST_BYTES},
    config::Config,
    openapi,
    reports::{LATEST, Reports},
};
use crate::platform::{
    admin::Admin,
    grpc::client::{Channel, Client, ClientConfig},
    health::Health,
    http::{self, Listed, Routes, Stack, openapi::Document},
    process::{self, Failure},
    shutdown::{Shutdown, watch_signals},
    task::Tasks,
    telemetry::{Service, Telemetry},
};
use std::{process::ExitCode, sync::Arc};

/// Says what each type of problem means.
const API_PAGE: &str = include_str!("../../docs/api.md");
/// What metrics, spans and lines call the other service.
const EPRO: &str = "epro";

/// Runs the service until it is told to stop: 0 after a clean stop, 70 otherwise.
pub fn run(config: Config) -> ExitCode {
    let service = Service { name: NAME, version: env!("CARGO_PKG_VERSION") };
    let telemetry = config.telemetry.clone();
    process::run(service, &telemetry, async |telemetry| serve(config, telemetry).await)
}

/// Every route that is served.
pub fn listed() -> Vec<Listed> {
    [api::routes().list(), Document::listed(), http::problem_pages(API_PAGE).list()].concat()
}

/// The API that is served, described.
pub fn document() -> Document {
    let about = "The reports of patients as trial management sees them: asked of the ePRO service, or from memory \
        while that cannot answer. JSON in camelCase; times are RFC 3339; errors are problems after RFC 9457.";
    let info = (NAME, env!("CARGO_PKG_VERSION"), about);
    Document::new(info, openapi::TAGS, &listed(), openapi::operations())
}

/// Binds every port, then serves until the shutdown's end. That the ePRO service is there is no condition: a
/// fault of one does not take the other down.
async fn serve(config: Config, telemetry: &Telemetry) -> Result<(), Failure> {
    process::prepare(config.warnings(), telemetry);
    let (health, shutdown) = (Health::default(), Shutdown::default());
    let (http_check, epro_check) = (health.check("http"), health.check(EPRO));
    let tasks = Tasks::new(shutdown.clone());
    tasks.spawn("signals", watch_signals(shutdown.clone())?);
    let keys = process::open_door(&config.auth, &tasks)?;
    let http = process::bind(&tasks, "http", config.http.listen, config.http.tls.as_ref()).await?;
    let admin_tls = process::follow_certificate(&tasks, "admin", config.admin.tls.as_ref())?;
    let admin = Admin::start(&config.admin, admin_tls, process::pages(&health, telemetry, keys.clone()))?;
    let (http_at, admin_at) = (http.address()?, admin.address());

    let admission = process::admission(&config.limits, telemetry, &tasks, keys);
    let reports = Arc::new(Reports::new(client(&config, &tasks)?, cache(&config), epro_check));
    let stack = Stack::new(routes(reports), &config.http, Some(admission))?;
    let limits = (config.http.limits(), &config.limits);
    let served = process::serve(&tasks, "http", http, stack, limits, &shutdown);
    http_check.ok();
    tracing::info!(http = %http_at, admin = %admin_at, "ready");

    let drained = async {
        let _ = served.await;
    };
    let ended = shutdown.sequence(&health, config.shutdown, drained).await;
    admin.stop();
    ended?;
    process::verdict(&shutdown)
}

fn cache(config: &Config) -> Cache {
    Cache::new(config.epro.cache_max, MOST_BYTES)
}

/// What calls the ePRO service, with a key that is taken in again when its file changes.
fn client(config: &Config, tasks: &Tasks) -> Result<Client, Failure> {
    let epro = &config.epro;
    let client = ClientConfig {
        name: EPRO,
        target: epro.target.clone(),
        api_key: epro.key_file.as_ref().map(|file| file.key.clone()),
        deadline: epro.deadline,
    };
    let client =
        Client::new(client, Channel::open_with(EPRO, &epro.target, epro.tls.as_ref())?).announcing(&[LATEST]);
    if let Some(file) = &epro.key_file {
        tasks.spawn_essential("epro-key", client.follow_key_file(file.path.clone())?);
    }
    Ok(client)
}

/// Everything that is served: the service's calls, and what explains them.
fn routes(reports: Arc<Reports>) -> Routes {
    let explained = Document::routes(document).merge(http::problem_pages(API_PAGE));
    api::routes().with_state(reports).merge(explained)
}
