//! Settings of the notification channels.

use crate::platform::config::{Parse, Reader};
use reqwest::Url;
use std::{fmt, time::Duration};

/// The channels' settings.
#[derive(Clone, Debug)]
pub struct NotifyConfig {
    pub sms: ChannelConfig,
    pub push: ChannelConfig,
}

/// One channel's settings.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    pub provider: ProviderConfig,
}

/// Who delivers a channel's messages.
#[derive(Clone)]
pub enum ProviderConfig {
    /// Nobody: a line in the log.
    Console,
    /// A gateway over HTTP.
    Http {
        url: Url,
        /// For one attempt.
        timeout: Duration,
    },
}

enum ProviderName {
    Console,
    Http,
}

/// The keys of one channel.
struct Keys {
    provider: &'static str,
    url: &'static str,
    timeout: &'static str,
}

const SMS: Keys = Keys { provider: "sms.provider", url: "sms.http.url", timeout: "sms.http.timeout" };
const PUSH: Keys = Keys { provider: "push.provider", url: "push.http.url", timeout: "push.http.timeout" };

/// Without path and query of the address, which may hold a key.
impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Console => f.write_str("Console"),
            Self::Http { url, timeout } => {
                write!(f, "Http({}, {timeout:?})", url.origin().ascii_serialization())
            }
        }
    }
}

impl NotifyConfig {
    /// Reads `sms.*` and `push.*`.
    ///
    /// `handler_timeout` is that of the HTTP API: a synchronous call lasts as long as its attempt.
    pub fn read(reader: &mut Reader, handler_timeout: Duration) -> Self {
        Self {
            sms: ChannelConfig::read(reader, &SMS, handler_timeout),
            push: ChannelConfig::read(reader, &PUSH, handler_timeout),
        }
    }
}

impl ChannelConfig {
    fn read(reader: &mut Reader, keys: &Keys, handler_timeout: Duration) -> Self {
        let name =
            reader.value(keys.provider, "console", "who delivers: console (a log line) or http (a gateway)");
        let url = reader.optional(keys.url, "the gateway's address for provider http");
        let timeout = reader.value_in(keys.timeout, "5s", "10ms"..="5m", "how long one attempt may take");
        let provider = match (name, url) {
            (ProviderName::Console, _) => ProviderConfig::Console,
            (ProviderName::Http, Some(url)) => ProviderConfig::Http { url, timeout },
            (ProviderName::Http, None) => {
                reader.fault(keys.provider, format!("http needs the gateway's address; set {}", keys.url));
                ProviderConfig::Console
            }
        };
        // Otherwise a synchronous call would be answered 503, which promises that nothing was stored.
        if matches!(provider, ProviderConfig::Http { .. }) && timeout >= handler_timeout {
            reader.fault(
                keys.timeout,
                "must be shorter than http.handler_timeout; lower it or raise that".to_owned(),
            );
        }
        Self { provider }
    }
}

impl Parse for ProviderName {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "console" => Ok(Self::Console),
            "http" => Ok(Self::Http),
            _ => Err("must be console or http".to_owned()),
        }
    }
}
