//! The configuration: one struct per section. A key is named after its variable: `APP_HTTP__LISTEN` is `http.listen`.

use chassis::{
    AdminConfig, Listening, ShutdownConfig, check_listeners,
    config::{Checks, Settings},
    unencrypted,
};
use chassis_http::{AuthConfig, LimitsConfig, ServerConfig, TlsConfig};
use chassis_queue::{QueueConfig, RetryConfig, StoreConfig};
use chassis_resilience::DegradationConfig;
use chassis_telemetry::LogConfig;
use conf::Conf;
use std::net::SocketAddr;

#[derive(Conf, Clone, Debug)]
#[conf(env_prefix = "APP_")]
pub struct Config {
    #[conf(flatten, env_prefix = "HTTP__")]
    pub http: HttpConfig,
    #[conf(flatten, env_prefix = "ADMIN__")]
    pub admin: AdminConfig,
    #[conf(flatten, env_prefix = "STORE__")]
    pub store: StoreConfig,
    #[conf(flatten, env_prefix = "QUEUE__")]
    pub queue: QueueConfig,
    #[conf(flatten, env_prefix = "RETRY__")]
    pub retry: RetryConfig,
    #[conf(flatten, env_prefix = "LIMITS__")]
    pub limits: LimitsConfig,
    #[conf(flatten, env_prefix = "DEGRADATION__")]
    pub degradation: DegradationConfig,
    #[conf(flatten, env_prefix = "AUTH__")]
    pub auth: AuthConfig,
    #[conf(flatten, env_prefix = "SHUTDOWN__")]
    pub shutdown: ShutdownConfig,
    #[conf(flatten, env_prefix = "LOG__")]
    pub log: LogConfig,
}

/// The public HTTP API.
#[derive(Conf, Clone, Debug)]
pub struct HttpConfig {
    /// Address of the HTTP API.
    #[arg(env, default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    #[conf(flatten)]
    pub server: ServerConfig,
}

impl Settings for Config {
    const PREFIX: &'static str = "APP_";
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("store.url", "sqlite://data/starter-service.db")];

    fn check(&self, checks: &mut Checks<'_>) {
        check_listeners(&self.listeners(), self.auth.api_keys_file.is_some(), checks);
        checks.faults("auth.api_keys_file", self.auth.keys().err().into_iter().flatten());
        for (section, tls) in [("http", &self.http.server.tls), ("admin", &self.admin.tls)] {
            if let Err(fault) = tls.check_files() {
                checks.fault(&format!("{section}.tls.{}", fault.setting), fault.to_string());
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        unencrypted(&self.listeners()).chain(self.limits.warning()).collect()
    }
}

impl Config {
    fn listeners(&self) -> [Listening; 2] {
        let listening =
            |key, address, tls: &TlsConfig, public| Listening { key, address, tls: tls.is_set(), public };
        [
            listening("http.listen", self.http.listen, &self.http.server.tls, true),
            listening("admin.listen", self.admin.listen, &self.admin.tls, false),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::config::{Sources, example, load};
    use std::fs;

    /// `UPDATE_EXPECT=1 cargo test --lib` writes it.
    #[test]
    fn the_example_holds_every_key_with_its_default() {
        let header = "Every setting with its default. Variables (`APP_HTTP__LISTEN`) override this file.";
        let (path, example) = ("config.example.toml", example::<Config>(header));
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(path, &example).unwrap();
        }
        assert_eq!(fs::read_to_string(path).unwrap(), example);
    }

    #[test]
    fn the_defaults_are_valid_and_warn_of_nothing() {
        let config = load::<Config>(Sources::variables([])).unwrap();
        assert_eq!(config.warnings(), Vec::<String>::new());
    }
}
