//! The configuration: one struct per section. A key is named after its variable: `APP_SMS__HTTP__URL` is `sms.http.url`.

use crate::reports::ReportsConfig;
use chassis::{
    AdminConfig, Listening, ShutdownConfig, check_listeners,
    config::{Checks, Settings},
    unencrypted,
};
use chassis_http::{AuthConfig, LimitsConfig, ServerConfig, TlsConfig};
use chassis_queue::{OnUnknown, QueueConfig, RetryConfig, StoreConfig, StoreUrl};
use chassis_resilience::DegradationConfig;
use chassis_rpc::RegisterConfig;
use chassis_telemetry::{
    LogConfig,
    settings::{between, duration, number},
};
use conf::Conf;
use http::HeaderValue;
use reqwest::Url;
use std::{fmt, fs, net::SocketAddr, num::NonZeroU32, path::PathBuf, str::FromStr, time::Duration};

#[derive(Conf, Clone, Debug)]
#[conf(env_prefix = "APP_")]
pub struct Config {
    #[conf(flatten, env_prefix = "HTTP__")]
    pub http: HttpConfig,
    #[conf(flatten, env_prefix = "GRPC__")]
    pub grpc: GrpcConfig,
    #[conf(flatten, env_prefix = "ADMIN__")]
    pub admin: AdminConfig,
    #[conf(flatten, env_prefix = "STORE__")]
    pub store: StoreConfig,
    #[conf(flatten, env_prefix = "QUEUE__")]
    pub queue: QueueConfig,
    #[conf(flatten, env_prefix = "RETRY__")]
    pub retry: RetryConfig,
    #[conf(flatten, env_prefix = "SMS__")]
    pub sms: ChannelConfig,
    #[conf(flatten, env_prefix = "PUSH__")]
    pub push: ChannelConfig,
    #[conf(flatten, env_prefix = "REPORTS__")]
    pub reports: ReportsConfig,
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

/// The gRPC API. Its time-outs and its number of connections are those of `http`.
#[derive(Conf, Clone, Debug)]
pub struct GrpcConfig {
    /// Address of the gRPC API.
    #[arg(env, default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    #[conf(flatten, env_prefix = "TLS__")]
    pub tls: TlsConfig,
    #[conf(flatten)]
    pub register: RegisterConfig,
}

/// A channel: who delivers its messages.
#[derive(Conf, Clone, Debug)]
pub struct ChannelConfig {
    /// Who delivers: `console` (a log line) or `http` (a gateway).
    #[arg(env, default_value = "console")]
    pub provider: ProviderName,
    #[conf(flatten, env_prefix = "HTTP__")]
    pub http: HttpGatewayConfig,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderName {
    Console,
    Http,
}

/// A gateway for provider `http`.
#[derive(Conf, Clone, Debug)]
pub struct HttpGatewayConfig {
    /// The gateway's address.
    #[arg(env)]
    pub url: Option<GatewayUrl>,
    /// How long one attempt may take.
    #[arg(env, default_value = "5s", value_parser = between("10ms", "5m", duration))]
    pub timeout: Duration,
    /// How long a connection is kept unused: less than the gateway keeps it, so that no message meets a closing one.
    #[arg(env, default_value = "4s", value_parser = between("0s", "10m", duration))]
    pub idle_timeout: Duration,
    /// Messages a second that the gateway gets at most; no limit if it is not set.
    #[arg(env, value_parser = between("1", "1000000", number))]
    pub rate: Option<NonZeroU32>,
    /// File with the value of the `Authorization` header, read at the start.
    #[arg(env)]
    pub authorization_file: Option<PathBuf>,
}

/// An address whose path and query may hold a key, so that only scheme and host are ever shown.
#[derive(Clone)]
pub struct GatewayUrl(pub Url);

impl fmt::Debug for GatewayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl FromStr for GatewayUrl {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url =
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        url.map(Self).ok_or("must be an http or https URL")
    }
}

impl FromStr for ProviderName {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "console" => Ok(Self::Console),
            "http" => Ok(Self::Http),
            _ => Err("must be console or http"),
        }
    }
}

impl HttpGatewayConfig {
    /// Reads the value of the `Authorization` header.
    ///
    /// # Errors
    /// What is wrong with the file, without its text.
    pub fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let Some(path) = &self.authorization_file else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
        let value = HeaderValue::from_str(text.trim_start_matches('\u{feff}').trim())
            .ok()
            .filter(|value| !value.is_empty());
        let mut value = value.ok_or("must hold the value of an Authorization header, such as `Bearer …`")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

impl Settings for Config {
    const PREFIX: &'static str = "APP_";
    const DEFAULTS: &'static [(&'static str, &'static str)] =
        &[("store.url", "sqlite://data/epro-notify.db")];

    fn check(&self, checks: &mut Checks<'_>) {
        check_listeners(&self.listeners(), self.auth.api_keys_file.is_some(), checks);
        checks.faults("auth.api_keys_file", self.auth.keys().err().into_iter().flatten());
        for (section, tls) in
            [("http", &self.http.server.tls), ("grpc", &self.grpc.tls), ("admin", &self.admin.tls)]
        {
            if let Err(fault) = tls.check_files() {
                checks.fault(&format!("{section}.tls.{}", fault.setting), fault.to_string());
            }
        }
        self.check_channel("sms", &self.sms, checks);
        self.check_channel("push", &self.push, checks);
        if self.retry.on_unknown == OnUnknown::Hold {
            let why = "retry.on_unknown is \"hold\"; set it to \"retry\" or remove this key";
            checks.no_effect("retry.max_unknown", "retry.on_unknown", why);
        }
        if matches!(self.store.url, StoreUrl::Sqlite { .. }) {
            let why =
                "SQLite has one connection that writes; set store.url to postgres://… or remove this key";
            checks.no_effect("store.max_connections", "store.url", why);
        }
        self.reports.check(checks);
        if let Err(fault) = self.grpc.register.check_for(self.grpc.listen) {
            checks.fault("grpc.register", fault);
        }
    }

    fn warnings(&self) -> Vec<String> {
        let gateways = [("sms", &self.sms), ("push", &self.push)];
        let gateways = gateways.into_iter().filter(|(_, channel)| channel.provider == ProviderName::Http);
        let (handler, drain) = (self.http.server.handler_timeout, self.shutdown.drain_deadline);
        let timeouts = gateways.flat_map(|(name, channel)| {
            let timeout = channel.http.timeout;
            let longer = |than: Duration, key: &str, effect: &str| {
                (timeout > than).then(|| format!("{name}.http.timeout is longer than {key}: {effect}"))
            };
            [
                longer(handler, "http.handler_timeout", "synchronous calls are cut short at the latter"),
                longer(drain, "shutdown.drain_deadline", "a stop cuts attempts short, and exits with 70"),
            ]
        });
        let timeouts: Vec<_> = timeouts.flatten().collect();
        unencrypted(&self.listeners()).chain(self.limits.warning()).chain(timeouts).collect()
    }
}

impl Config {
    fn check_channel(&self, channel: &'static str, config: &ChannelConfig, checks: &mut Checks<'_>) {
        let [provider, http, url, authorization] =
            ["provider", "http", "http.url", "http.authorization_file"].map(|key| format!("{channel}.{key}"));
        if config.provider == ProviderName::Console {
            let why = format!("{provider} is \"console\"; set it to \"http\" or remove this key");
            return checks.no_effect(&http, &provider, &why);
        }
        if config.http.url.is_none() {
            checks.fault(&provider, format!("\"http\" needs the gateway's address; set {url}"));
        }
        if let Err(fault) = config.http.authorization() {
            checks.fault(&authorization, fault);
        }
    }

    /// The limits of the gRPC listener.
    pub fn grpc_server(&self) -> ServerConfig {
        ServerConfig { tls: self.grpc.tls.clone(), ..self.http.server.clone() }
    }

    fn listeners(&self) -> [Listening; 3] {
        let listening =
            |key, address, tls: &TlsConfig, public| Listening { key, address, tls: tls.is_set(), public };
        [
            listening("http.listen", self.http.listen, &self.http.server.tls, true),
            listening("grpc.listen", self.grpc.listen, &self.grpc.tls, true),
            listening("admin.listen", self.admin.listen, &self.admin.tls, false),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chassis::config::{Sources, example, load};

    fn faults(values: &[(&str, &str)]) -> Vec<String> {
        let faults = load::<Config>(Sources::variables(values.iter().copied())).err();
        faults.map(|faults| faults.to_string()).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// `UPDATE_EXPECT=1 cargo test` writes it.
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

    #[test]
    fn settings_without_effect_are_faults_unless_they_are_the_default() {
        let url = ("APP_SMS__HTTP__URL", "http://127.0.0.1:1/");
        assert_eq!(faults(&[url]).len(), 1);
        assert_eq!(faults(&[("APP_PUSH__HTTP__TIMEOUT", "6s")]).len(), 1);
        assert_eq!(faults(&[("APP_PUSH__HTTP__TIMEOUT", "5s")]).len(), 0);
        assert_eq!(faults(&[url, ("APP_SMS__PROVIDER", "http")]).len(), 0);
        assert_eq!(faults(&[("APP_SMS__PROVIDER", "http")]).len(), 1);
        assert_eq!(faults(&[("APP_RETRY__MAX_UNKNOWN", "5")]).len(), 0);
        assert_eq!(faults(&[("APP_RETRY__MAX_UNKNOWN", "5"), ("APP_RETRY__ON_UNKNOWN", "hold")]).len(), 1);
        let postgres = ("APP_STORE__URL", "postgres://localhost/epro");
        assert_eq!(faults(&[("APP_STORE__MAX_CONNECTIONS", "16")]).len(), 1);
        assert_eq!(faults(&[("APP_STORE__MAX_CONNECTIONS", "16"), postgres]).len(), 0);
    }

    #[test]
    fn a_password_that_cannot_be_used_is_a_fault() {
        let file = ("APP_STORE__PASSWORD_FILE", "/nowhere/password");
        for (url, why) in [
            ("postgres://user@localhost/epro", "/nowhere/password"),
            ("sqlite://data/epro.db", "is for PostgreSQL"),
        ] {
            let faults = faults(&[file, ("APP_STORE__URL", url)]);
            let told =
                faults.iter().any(|fault| fault.contains("store.password_file") && fault.contains(why));
            assert!(told, "{faults:#?}");
        }
    }

    #[test]
    fn a_time_out_that_others_cut_short_is_warned_of() {
        let values = [
            ("APP_SMS__PROVIDER", "http"),
            ("APP_SMS__HTTP__URL", "http://127.0.0.1:1/"),
            ("APP_SMS__HTTP__TIMEOUT", "31s"),
        ];
        let warnings = load::<Config>(Sources::variables(values)).unwrap().warnings();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
    }

    #[test]
    fn a_key_in_a_gateways_address_is_never_shown() {
        for url in ["https://gateway.example/canary?key=canary", "ftp://gateway.example/canary"] {
            let values = [("APP_PUSH__PROVIDER", "http"), ("APP_PUSH__HTTP__URL", url)];
            let shown = match load::<Config>(Sources::variables(values)) {
                Ok(config) => format!("{config:?}"),
                Err(faults) => faults.to_string(),
            };
            assert!(shown.contains("gateway.example") && !shown.contains("canary"), "{shown}");
        }
    }
}
