//! The bare handler under the service's layers, one more group after the other: what each of them costs.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use chassis::config::{Sources, load};
use chassis_http::{Keys, Limits, Scope, host_check, identify, layers, require, server};
use chassis_resilience::{Degradation, DegradationConfig};
use chassis_telemetry::http::{metrics_layer, trace_layer};
use chassis_telemetry::{Service, Setup};
use epro_notify::config::Config;
use epro_notify::metrics;
use tower::ServiceBuilder;

use crate::Result;
use crate::bench::ROUTE;
use crate::servers;

/// The groups of layers, each with those before it: the listener alone, headers, panics and the limits of size and
/// time, who calls and what they may, how often they may, and the trace and metrics layers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upto {
    Listener,
    Basics,
    Caller,
    Limit,
    Trace,
}

impl Upto {
    const ALL: [Self; 5] = [Self::Listener, Self::Basics, Self::Caller, Self::Limit, Self::Trace];

    /// As the child's argument.
    pub fn word(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Basics => "basics",
            Self::Caller => "caller",
            Self::Limit => "limit",
            Self::Trace => "trace",
        }
    }
}

/// Runs it with the service's configuration from the environment, on the address of `http.listen`.
///
/// # Errors
/// Of the configuration.
pub fn run(upto: &str) -> Result<()> {
    let upto = Upto::ALL.into_iter().find(|one| one.word() == upto).ok_or("no such layers")?;
    let config: Config = load(Sources { environment: std::env::vars_os().collect(), ..Sources::default() })?;
    let setup = Setup { metrics: metrics::catalogue(), ..Setup::new(Service::new("layered", "0")) };
    chassis::run(setup, async |_telemetry, shutdown| {
        let keys = config.auth.keys().map_err(|faults| faults.join("; "))?;
        let listener = server::bind("http", config.http.listen, &config.http.server.tls).await?;
        let router = router(upto, &config, &keys);
        server::serve(listener, router, &config.http.server, shutdown.stop()).await;
        Ok(())
    });
    Ok(())
}

/// As `epro_notify::http::router` stacks them.
fn router(upto: Upto, config: &Config, keys: &Keys) -> Router {
    let (server, proxies) = (&config.http.server, config.limits.clone());
    let degradation = Degradation::new(&[], DegradationConfig::default());
    let mut router = Router::new().route(ROUTE, post(servers::accept));
    if upto >= Upto::Basics {
        router = router.route_layer(degradation.latency_layer()).route_layer(layers::deadlines(server));
    }
    if upto >= Upto::Caller {
        router = router.route_layer(require(Scope::Send));
    }
    if upto >= Upto::Limit {
        router = router.layer(Limits::new(&config.limits).http_layer());
    }
    if upto >= Upto::Caller {
        let caller = ServiceBuilder::new().layer(host_check(keys.is_open())).layer(identify(keys, &proxies));
        router = router.layer(caller);
    }
    if upto >= Upto::Basics {
        let basics = ServiceBuilder::new()
            .layer(layers::headers(server.tls.is_set()))
            .option_layer(layers::cors(&server.cors_origins))
            .layer(layers::catch_panic())
            .layer(degradation.in_flight_layer())
            .layer(DefaultBodyLimit::max(64 * 1024));
        router = router.layer(basics);
    }
    if upto >= Upto::Trace {
        let trace = trace_layer(move |peer| proxies.trusts(peer));
        router = router.layer(ServiceBuilder::new().layer(trace).layer(metrics_layer()));
    }
    router
}
