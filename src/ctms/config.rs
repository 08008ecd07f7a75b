//! The configuration of the service.

use chassis::{
    AdminConfig, Listening, ShutdownConfig, check_listeners,
    config::{Checks, Settings},
    unencrypted,
};
use chassis_http::{AuthConfig, LimitsConfig, ServerConfig};
use chassis_rpc::ClientConfig;
use chassis_telemetry::{
    LogConfig,
    settings::{between, number},
};
use conf::Conf;
use std::net::SocketAddr;

/// Everything that can be set.
#[derive(Conf, Clone, Debug)]
#[conf(env_prefix = "APP_")]
pub struct Config {
    #[conf(flatten, env_prefix = "HTTP__")]
    pub http: HttpConfig,
    #[conf(flatten, env_prefix = "ADMIN__")]
    pub admin: AdminConfig,
    #[conf(flatten, env_prefix = "EPRO__")]
    pub epro: EproConfig,
    #[conf(flatten, env_prefix = "LIMITS__")]
    pub limits: LimitsConfig,
    #[conf(flatten, env_prefix = "AUTH__")]
    pub auth: AuthConfig,
    #[conf(flatten, env_prefix = "SHUTDOWN__")]
    pub shutdown: ShutdownConfig,
    #[conf(flatten, env_prefix = "LOG__")]
    pub log: LogConfig,
}

/// `http.*`
#[derive(Conf, Clone, Debug)]
pub struct HttpConfig {
    /// Address of the HTTP API.
    #[arg(env, default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    #[conf(flatten)]
    pub server: ServerConfig,
}

/// `epro.*`: where the reports are, and how many are remembered.
#[derive(Conf, Clone, Debug)]
pub struct EproConfig {
    #[conf(flatten)]
    pub client: ClientConfig,
    /// Patients whose latest report is remembered for when the ePRO service cannot answer; 64 MiB at most.
    #[arg(env, default_value = "10000", value_parser = between("1", "1000000", number))]
    pub cache_max: u64,
}

impl Config {
    fn listeners(&self) -> [Listening; 2] {
        let (http, admin) = (&self.http, &self.admin);
        let tls = http.server.tls.is_set();
        [
            Listening { key: "http.listen", address: http.listen, tls, public: true },
            Listening { key: "admin.listen", address: admin.listen, tls: admin.tls.is_set(), public: false },
        ]
    }
}

impl Settings for Config {
    const PREFIX: &'static str = "APP_";
    const DEFAULTS: &'static [(&'static str, &'static str)] = &[("admin.listen", "127.0.0.1:9465")];

    fn check(&self, checks: &mut Checks<'_>) {
        check_listeners(&self.listeners(), self.auth.api_keys_file.is_some(), checks);
        for (key, tls) in [("http.tls", &self.http.server.tls), ("admin.tls", &self.admin.tls)] {
            if let Err(fault) = tls.check_files() {
                checks.fault(&format!("{key}.{}", fault.setting), fault.to_string());
            }
        }
        checks.faults("auth.api_keys_file", self.auth.keys().err().into_iter().flatten());
        // A caller whose call failed still has to be answered from the cache.
        if self.epro.client.deadline >= self.http.server.handler_timeout {
            checks
                .fault("epro.deadline", "must be shorter than http.handler_timeout; lower it or raise that");
        }
    }

    fn warnings(&self) -> Vec<String> {
        unencrypted(&self.listeners()).chain(self.limits.warning()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::config::{Sources, load};

    fn fault(values: &[(&str, &str)]) -> String {
        let faults = load::<Config>(Sources::variables(values.iter().copied())).err();
        faults.map(|faults| faults.to_string()).unwrap_or_default()
    }

    #[test]
    fn the_defaults_are_valid_and_warn_of_nothing() {
        let config = load::<Config>(Sources::variables([])).unwrap();
        assert_eq!(config.admin.listen.port(), 9465);
        assert_eq!(config.warnings(), [""; 0]);
    }

    #[test]
    fn the_other_services_keys_are_unknown_here() {
        for key in ["APP_STORE__URL", "APP_GRPC__LISTEN", "APP_QUEUE__WORKERS", "APP_SMS__PROVIDER"] {
            assert!(fault(&[(key, "1")]).contains(key), "{key}");
        }
    }

    #[test]
    fn a_call_ends_before_its_handler_has_to() {
        let short = ("APP_HTTP__HANDLER_TIMEOUT", "2s");
        assert!(fault(&[short]).contains("shorter than http.handler_timeout"));
        assert_eq!(fault(&[short, ("APP_EPRO__DEADLINE", "1s")]), "");
    }

    #[test]
    fn callers_without_keys_are_served_on_loopback_alone() {
        assert!(fault(&[("APP_HTTP__LISTEN", "0.0.0.0:1")]).contains("loopback"));
        let config = load::<Config>(Sources::variables([("APP_ADMIN__LISTEN", "0.0.0.0:1")])).unwrap();
        assert!(config.warnings().iter().any(|warning| warning.contains("admin.listen")));
    }
}
