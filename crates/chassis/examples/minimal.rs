//! A service with one route and one background task.
//!
//! `cargo run -p chassis --example minimal -- --set http.listen=127.0.0.1:8090`

use axum::{Router, routing::get};
use chassis::{
    Admin, AdminConfig, Failure, Health, Listening, Pages, Program, Shutdown, ShutdownConfig, Tasks,
    check_listeners,
    config::{Checks, Settings},
};
use chassis_http::{AuthConfig, Keys, ServerConfig, server};
use chassis_telemetry::{LogConfig, Service, Setup, Telemetry, settings::duration};
use conf::Conf;
use std::{net::SocketAddr, process::ExitCode, time::Duration};

#[derive(Conf, Clone, Debug)]
#[conf(env_prefix = "APP_")]
struct Config {
    #[conf(flatten, env_prefix = "HTTP__")]
    http: Http,
    #[conf(flatten, env_prefix = "WORKER__")]
    worker: Worker,
    #[conf(flatten, env_prefix = "ADMIN__")]
    admin: AdminConfig,
    #[conf(flatten, env_prefix = "AUTH__")]
    auth: AuthConfig,
    #[conf(flatten, env_prefix = "SHUTDOWN__")]
    shutdown: ShutdownConfig,
    #[conf(flatten, env_prefix = "LOG__")]
    log: LogConfig,
}

#[derive(Conf, Clone, Debug)]
struct Http {
    /// Address of the API.
    #[arg(env, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// How long `/` takes.
    #[arg(env, default_value = "0s", value_parser = duration)]
    latency: Duration,
    #[conf(flatten)]
    server: ServerConfig,
}

#[derive(Conf, Clone, Debug)]
struct Worker {
    /// When the background task panics, to see what happens then.
    #[arg(env, value_parser = duration)]
    panic_after: Option<Duration>,
}

impl Settings for Config {
    fn check(&self, checks: &mut Checks<'_>) {
        let (http, admin) = (&self.http, &self.admin);
        let listeners = [
            Listening {
                key: "http.listen",
                address: http.listen,
                tls: http.server.tls.is_set(),
                public: true,
            },
            Listening { key: "admin.listen", address: admin.listen, tls: admin.tls.is_set(), public: false },
        ];
        check_listeners(&listeners, self.auth.api_keys_file.is_some(), checks);
    }
}

fn main() -> ExitCode {
    let program = Program::<Config> {
        name: "minimal",
        version: env!("CARGO_PKG_VERSION"),
        about: "A service with one route",
        key_prefix: "minimal_",
        admin: |config| config.admin.clone(),
        openapi: || "{}".to_owned(),
        serve: |config| {
            let setup = setup(&config);
            chassis::run(setup, async |telemetry, shutdown| serve(config, telemetry, shutdown).await)
        },
        commands: Vec::new(),
    };
    program.main()
}

const SERVICE: Service = Service::new("minimal", env!("CARGO_PKG_VERSION"));

fn setup(config: &Config) -> Setup {
    Setup {
        log: config.log.clone(),
        line_targets: &["minimal"],
        metrics: vec![chassis::METRICS],
        ..Setup::new(SERVICE)
    }
}

async fn serve(config: Config, telemetry: &Telemetry, shutdown: Shutdown) -> Result<(), Failure> {
    let (health, tasks) = (Health::default(), Tasks::new(&shutdown));
    let started = health.check("start");
    let worker = config.worker.panic_after;
    let stop = shutdown.stop();
    tasks.spawn_essential("worker", async move {
        match worker {
            Some(after) => {
                tokio::time::sleep(after).await;
                unreachable!("the configuration asks for a panic");
            }
            None => stop.cancelled().await,
        }
    });
    let listener = server::bind("http", config.http.listen, &config.http.server.tls).await?;
    let address = listener.address()?;
    let latency = config.http.latency;
    let hello = async move || {
        tracing::info!("a request is in hand");
        tokio::time::sleep(latency).await;
        "hello"
    };
    let router = Router::new().route("/", get(hello));
    let served = server::serve(listener, router, &config.http.server, shutdown.stop());
    let http = tasks.spawn_essential("http", served);
    let pages = Pages { health: health.clone(), keys: Keys::open(), service: SERVICE, routes: Router::new() };
    let admin = Admin::start(&config.admin, pages, telemetry).await?;
    started.ok();
    tracing::info!(http = %address, admin = %admin.address(), "ready");
    let drained = async { drop(http.await) };
    let ended = shutdown.sequence(&health, &config.shutdown, drained).await;
    admin.stop().await;
    Ok(ended?)
}
