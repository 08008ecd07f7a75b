//! The whole configuration of the service: no store, queue or providers, and where the reports are.

use crate::platform::{
    admin::config::AdminConfig,
    auth::config::AuthConfig,
    config::{Faults, Reader, Sources},
    grpc::client::{ClientTls, Target, read_key_file},
    http::config::HttpConfig,
    limits::config::LimitsConfig,
    listeners::{self, Listening},
    shutdown::config::ShutdownConfig,
    telemetry::TelemetryConfig,
};
use secrecy::SecretString;
use std::{path::PathBuf, time::Duration};

/// The service's configuration, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    pub http: HttpConfig,
    pub admin: AdminConfig,
    pub epro: EproConfig,
    pub limits: LimitsConfig,
    pub auth: AuthConfig,
    pub shutdown: ShutdownConfig,
    pub telemetry: TelemetryConfig,
}

/// Where the reports are, and what is kept of them.
#[derive(Clone, Debug)]
pub struct EproConfig {
    pub target: Target,
    /// In the clear without.
    pub tls: Option<ClientTls>,
    /// None if no key is asked for there.
    pub key_file: Option<KeyFile>,
    /// For a call with all its attempts.
    pub deadline: Duration,
    /// Patients whose latest report is remembered.
    pub cache_max: usize,
}

/// What we are known by, and where it was read.
#[derive(Clone, Debug)]
pub struct KeyFile {
    pub path: PathBuf,
    pub key: SecretString,
}

impl Config {
    /// Reads the configuration, and gives it as a commented TOML document as well, without secrets.
    ///
    /// # Errors
    /// Every fault of every source at once.
    pub fn load(sources: Sources) -> Result<(Self, String), Faults> {
        Reader::load(sources, Self::read)
    }

    /// Where the service is asked how it is, and nothing else.
    ///
    /// # Errors
    /// As [`Self::load`], of these keys alone.
    pub fn load_admin(sources: Sources) -> Result<AdminConfig, Faults> {
        Reader::load_part(sources, read_admin)
    }

    /// What an operator is warned of once at start.
    pub fn warnings(&self) -> Vec<String> {
        listeners::in_clear(&self.listeners()).into_iter().chain(self.limits.warning()).collect()
    }

    fn listeners(&self) -> [Listening<'_>; 2] {
        let (http, admin) = (&self.http, &self.admin);
        [
            Listening { key: "http.listen", address: http.listen, tls: http.tls.as_ref(), for_callers: true },
            Listening {
                key: "admin.listen",
                address: admin.listen,
                tls: admin.tls.as_ref(),
                for_callers: false,
            },
        ]
    }

    fn read(reader: &mut Reader) -> Self {
        let http = HttpConfig::read(reader, "127.0.0.1:8081");
        let config = Self {
            admin: read_admin(reader),
            epro: EproConfig::read(reader, http.handler_timeout),
            limits: LimitsConfig::read(reader),
            auth: AuthConfig::read(reader),
            shutdown: ShutdownConfig::read(reader),
            telemetry: TelemetryConfig::read(reader),
            http,
        };
        listeners::check(reader, &config.listeners(), &config.auth);
        config
    }
}

fn read_admin(reader: &mut Reader) -> AdminConfig {
    AdminConfig::read(reader, "127.0.0.1:9465")
}

impl EproConfig {
    /// Reads `epro.*`, and the file of the key.
    ///
    /// `handler_timeout` is that of the HTTP API: whoever asks is answered from memory once the call failed.
    fn read(reader: &mut Reader, handler_timeout: Duration) -> Self {
        const KEY_FILE: &str = "epro.api_key_file";
        const DEADLINE: &str = "epro.deadline";
        let target = reader.value(
            "epro.target",
            "static://127.0.0.1:50051",
            "the ePRO service: static://host:port,host:port or dns://name:port or etcd://host:port/prefix",
        );
        let tls = ClientTls::read(reader, "epro.tls.enabled", "epro.tls.ca_file", "epro.tls.server_name");
        let path: Option<PathBuf> =
            reader.optional(KEY_FILE, "file that holds the API key for the ePRO service and nothing else");
        let key_file = path.and_then(|path| match read_key_file(&path) {
            Ok(key) => Some(KeyFile { path, key }),
            Err(fault) => {
                reader.fault(KEY_FILE, fault);
                None
            }
        });
        let deadline = reader.value_in(
            DEADLINE,
            "2s",
            "10ms"..="5m",
            "how long a call of the ePRO service may take with all its attempts",
        );
        if deadline >= handler_timeout {
            let fault = "must be shorter than http.handler_timeout; lower it or raise that";
            reader.fault(DEADLINE, fault.to_owned());
        }
        let cache_max = reader.value_in(
            "epro.cache_max",
            "10000",
            "1"..="1000000",
            "patients whose latest report is remembered for when the ePRO service cannot answer",
        );
        Self { target, tls, key_file, deadline, cache_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::fs;

    fn read(values: &[(&str, &str)]) -> Result<Config, String> {
        let mut reader = Reader::for_tests(values);
        let config = Config::read(&mut reader);
        reader.finish().map(|_document| config).map_err(|faults| faults.to_string())
    }

    #[test]
    fn the_defaults_are_valid_and_warn_of_nothing() {
        let config = read(&[]).unwrap();
        assert_eq!(config.warnings(), Vec::<String>::new());
        assert!(config.epro.key_file.is_none());
    }

    #[test]
    fn the_other_services_keys_are_unknown_here() {
        for key in ["store.url", "grpc.listen", "queue.workers", "sms.provider"] {
            assert!(read(&[(key, "1")]).unwrap_err().contains("unknown key"), "{key}");
        }
    }

    #[test]
    fn a_key_file_holds_one_key_which_is_never_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let values = [("epro.api_key_file", file.path().to_str().unwrap())];
        for text in ["", "\n", "two keys", "ключ", &"k".repeat(257)] {
            fs::write(file.path(), text).unwrap();
            assert!(read(&values).unwrap_err().contains("must hold one key"), "{text}");
        }
        fs::write(file.path(), "canary\n").unwrap();
        let config = read(&values).unwrap();
        assert_eq!(config.epro.key_file.as_ref().unwrap().key.expose_secret(), "canary");
        assert!(!format!("{config:?}").contains("canary"));
        let missing = read(&[("epro.api_key_file", "/no/such/file")]).unwrap_err();
        assert!(missing.contains("can't be read"), "{missing}");
    }

    #[test]
    fn the_call_ends_before_the_handler_has_to() {
        let values = [("http.handler_timeout", "2s")];
        assert!(read(&values).unwrap_err().contains("shorter than http.handler_timeout"));
        assert!(read(&[values[0], ("epro.deadline", "1s")]).is_ok());
    }

    #[test]
    fn without_keys_callers_are_served_on_loopback_alone() {
        assert!(read(&[("http.listen", "0.0.0.0:1")]).unwrap_err().contains("loopback"));
        let config = read(&[("admin.listen", "0.0.0.0:1")]).unwrap();
        assert!(config.warnings().concat().contains("TLS must end in front"));
    }
}
