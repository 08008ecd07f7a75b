//! Configuration sections of what callers reach.

use crate::{Keys, TlsConfig, auth};
use chassis_telemetry::settings::{between, duration, number};
use conf::Conf;
use http::{HeaderValue, uri::Authority};
use ipnet::IpNet;
use std::{net::IpAddr, path::PathBuf, str::FromStr, time::Duration};

/// What a listener allows its connections and requests. Its address is the service's own setting.
#[derive(Conf, Clone, Debug)]
pub struct ServerConfig {
    /// How long the first bytes and the headers may take; then the connection is closed.
    #[arg(env, default_value = "10s", value_parser = between("10ms", "10m", duration))]
    pub header_timeout: Duration,
    /// How long a request's body may take; then 408.
    #[arg(env, default_value = "10s", value_parser = between("10ms", "10m", duration))]
    pub body_timeout: Duration,
    /// How long a handler may take; then 503.
    #[arg(env, default_value = "30s", value_parser = between("10ms", "10m", duration))]
    pub handler_timeout: Duration,
    /// Connections open at once; each takes an open file, and more wait to be accepted.
    #[arg(env, default_value = "20000", value_parser = between("1", "1000000", number))]
    pub max_connections: usize,
    /// Allowed CORS origins, whose pages may call from a browser and read the answers, or `*` for all.
    #[arg(repeat, env)]
    pub cors_origins: Vec<Origin>,
    #[conf(flatten, env_prefix = "TLS__")]
    pub tls: TlsConfig,
}

/// For listeners that have no section of their own, and for tests.
impl Default for ServerConfig {
    fn default() -> Self {
        defaults()
    }
}

fn defaults<C: Conf>() -> C {
    C::parse_from::<&str, &str, &str>([""], [])
}

/// An origin as browsers write it (`https://app.example.org`), or `*` for every one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(pub(crate) HeaderValue);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Browsers name whole origins, in lower case, without a path and without the scheme's own port. A star within a
        // name would match nothing.
        let origin = [("http://", ":80"), ("https://", ":443")].into_iter().any(|(scheme, port)| {
            let host = text.strip_prefix(scheme).filter(|host| !host.ends_with(port));
            let plain =
                |host: &str| !host.contains(|c: char| matches!(c, '*' | '@') || c.is_ascii_uppercase());
            host.is_some_and(|host| plain(host) && host.parse::<Authority>().is_ok())
        });
        match HeaderValue::from_str(text) {
            Ok(value) if origin || text == "*" => Ok(Self(value)),
            _ => Err("expected * or an origin as browsers write it, such as https://app.example.org"),
        }
    }
}

/// Who may call.
#[derive(Conf, Clone, Debug, Default)]
pub struct AuthConfig {
    /// File of API keys, one `name:scopes:sha256-hex` a line, made by `new-key`; read again when it changes.
    #[arg(env)]
    pub api_keys_file: Option<PathBuf>,
}

impl AuthConfig {
    /// Reads the key file; without one everybody may do everything.
    ///
    /// # Errors
    /// All faults of the file, which name lines and never repeat one.
    pub fn keys(&self) -> Result<Keys, Vec<String>> {
        self.api_keys_file
            .as_deref()
            .map_or_else(|| Ok(Keys::open()), |path| auth::read_keys(path).map(Keys::of))
    }
}

/// How much a client may call, and which proxies are believed.
#[derive(Conf, Clone, Debug)]
pub struct LimitsConfig {
    #[conf(flatten, env_prefix = "PER_CLIENT__")]
    pub per_client: PerClient,
    /// How often clients that have been idle are forgotten.
    #[arg(env, default_value = "10s", value_parser = between("100ms", "1h", duration))]
    pub cleanup_interval: Duration,
    /// Networks (CIDR) of proxies whose `X-Forwarded-For` and sampling flag are believed.
    #[arg(repeat, env)]
    pub trusted_proxies: Vec<IpNet>,
}

/// What one client may do.
#[derive(Conf, Clone, Copy, Debug)]
pub struct PerClient {
    /// Requests a second that a client sustains.
    #[arg(env, default_value = "100", value_parser = between("1", "1000000", number))]
    pub rate: u32,
    /// Requests that a client may send at once.
    #[arg(env, default_value = "200", value_parser = between("1", "1000000", number))]
    pub burst: u32,
}

impl LimitsConfig {
    /// Whether this peer is a trusted proxy.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|network| network.contains(&peer))
    }

    /// What an operator should be warned of.
    pub fn warning(&self) -> Option<String> {
        let everybody = self.trusted_proxies.iter().find(|network| network.prefix_len() == 0)?;
        Some(format!(
            "limits.trusted_proxies contains {everybody}: every caller can choose the address it is limited by"
        ))
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        defaults()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for good in ["*", "https://a.example", "http://127.0.0.1:8080", "http://[::1]:3000"] {
            assert!(good.parse::<Origin>().is_ok(), "{good}");
        }
        for bad in [
            "", "null", "a.example", "https://a.example/", "https://A.example", "https://a.example:443",
            "https://*.a.example", "https://u@a.example", "file:///a", "https://a.example\r\nx: y",
            "https://",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
