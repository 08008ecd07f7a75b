//! Dashboards and alert rules as values: what an operator sees is written here once, and files are made of
//! it (`cargo run -p observability`).
//!
//! - [`names`] and [`catalogue`] are the service's own files of metrics, so that a query can't name what is
//!   not there; [`mod@reference`] makes the README's table of them.
//! - [`read`] reads the files again, for all that judges them.
//! - [`query`] writes PromQL, [`links`] where to look next, [`panel`] and [`dashboard`] Grafana's classic JSON,
//!   [`palette`] has the colours by meaning.
//! - `platform` and `domain` hold the dashboards themselves: a fork keeps the first and replaces the second.
//! - [`rules`] are Prometheus' rules, and [`site`] is where an installation has what they link to.
//!
//! What the files promise is checked by this package's tests; that their queries find data is checked on
//! live services by `tests/peers`.

pub mod dashboard;
mod domain;
pub mod files;
pub mod links;
pub mod palette;
pub mod panel;
mod platform;
pub mod query;
pub mod read;
pub mod reference;
pub mod rules;
pub mod services;
pub mod site;

/// What the service exports: kinds, labels with their values, meanings; out of the service itself.
#[path = "../../src/platform/telemetry/catalogue/mod.rs"]
pub mod catalogue;
/// The names of metrics and labels, out of the service itself.
#[path = "../../src/platform/telemetry/names.rs"]
pub mod names;

use dashboard::Dashboard;

/// All dashboards, in the order in which an operator comes across them.
pub fn dashboards() -> Vec<Dashboard> {
    vec![
        platform::overview::dashboard(),
        domain::notifications::dashboard(),
        domain::epro_rpc::dashboard(),
        platform::limits::dashboard(),
        platform::runtime::dashboard(),
    ]
}
