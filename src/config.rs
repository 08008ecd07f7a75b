//! The whole configuration, and what only holds between several concerns.

use crate::{
    notify::{
        config::NotifyConfig,
        model::{Invalid, Message, Title},
    },
    platform::{
        admin::config::AdminConfig,
        auth::config::AuthConfig,
        config::{Faults, Reader, Sources},
        grpc::config::GrpcConfig,
        http::config::HttpConfig,
        limits::config::LimitsConfig,
        listeners::{self, Listening},
        queue::config::QueueConfig,
        resilience::DegradationConfig,
        shutdown::config::ShutdownConfig,
        store::config::StoreConfig,
        telemetry::TelemetryConfig,
    },
    reports::config::ReportsConfig,
};

/// The service's configuration, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    pub http: HttpConfig,
    pub grpc: GrpcConfig,
    pub admin: AdminConfig,
    pub store: StoreConfig,
    pub queue: QueueConfig,
    pub notify: NotifyConfig,
    pub reports: ReportsConfig,
    pub limits: LimitsConfig,
    pub degradation: DegradationConfig,
    pub auth: AuthConfig,
    pub shutdown: ShutdownConfig,
    pub telemetry: TelemetryConfig,
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

    /// The configuration of these values alone; see [`Reader::for_tests`].
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn for_tests(values: &[(&str, &str)]) -> Result<Self, Faults> {
        let mut reader = Reader::for_tests(values);
        let config = Self::read(&mut reader);
        reader.finish().map(|_document| config)
    }

    /// What an operator is warned of once at start.
    pub fn warnings(&self) -> Vec<String> {
        let in_clear = listeners::in_clear(&self.listeners());
        in_clear.into_iter().chain(self.limits.warning()).collect()
    }

    fn listeners(&self) -> [Listening<'_>; 3] {
        let (http, grpc, admin) = (&self.http, &self.grpc, &self.admin);
        [
            Listening { key: "http.listen", address: http.listen, tls: http.tls.as_ref(), for_callers: true },
            Listening { key: "grpc.listen", address: grpc.listen, tls: grpc.tls.as_ref(), for_callers: true },
            Listening {
                key: "admin.listen",
                address: admin.listen,
                tls: admin.tls.as_ref(),
                for_callers: false,
            },
        ]
    }

    /// Reads every key; faults stay in the reader.
    pub fn read(reader: &mut Reader) -> Self {
        let http = HttpConfig::read(reader, "127.0.0.1:8080");
        let config = Self {
            grpc: GrpcConfig::read(reader, &http),
            admin: read_admin(reader),
            store: StoreConfig::read(reader),
            queue: QueueConfig::read(reader),
            notify: NotifyConfig::read(reader, http.handler_timeout),
            reports: ReportsConfig::read(reader),
            limits: LimitsConfig::read(reader),
            degradation: DegradationConfig::read(reader),
            auth: AuthConfig::read(reader),
            shutdown: ShutdownConfig::read(reader),
            telemetry: TelemetryConfig::read(reader),
            http,
        };
        listeners::check(reader, &config.listeners(), &config.auth);
        config.check_receipt(reader);
        config
    }

    /// A receipt is a notification, and has to fit one.
    fn check_receipt(&self, reader: &mut Reader) {
        let ReportsConfig { receipt_title, receipt_text, .. } = &self.reports;
        let (title, text) = (receipt_title.parse::<Title>(), receipt_text.parse::<Message>());
        let faults = [("reports.receipt_title", title.err()), ("reports.receipt_text", text.err())];
        for (key, Invalid(rule)) in faults.into_iter().filter_map(|(key, fault)| Some((key, fault?))) {
            reader.fault(key, rule.to_owned());
        }
    }
}

fn read_admin(reader: &mut Reader) -> AdminConfig {
    AdminConfig::read(reader, "127.0.0.1:9464")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{notify::config::ProviderConfig, platform::queue::config::OnUnknown};
    use proptest::prelude::*;

    fn faults(values: &[(&str, &str)]) -> Vec<String> {
        let faults = Config::for_tests(values).err().map(|faults| faults.to_string()).unwrap_or_default();
        faults.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_defaults_are_valid_and_warn_of_nothing() {
        assert_eq!(Config::for_tests(&[]).unwrap().warnings(), Vec::<String>::new());
    }

    #[test]
    fn two_listeners_never_share_an_address() {
        let shared = "127.0.0.1:7000";
        assert_eq!(faults(&[("http.listen", shared), ("grpc.listen", shared)]).len(), 1);
        assert_eq!(faults(&[("http.listen", shared), ("admin.listen", "0.0.0.0:7000")]).len(), 1);
        assert_eq!(faults(&[("http.listen", shared), ("admin.listen", "[::]:7000")]).len(), 1);
        assert_eq!(faults(&[("http.listen", shared), ("admin.listen", "[::1]:7000")]).len(), 0);
        let any = "127.0.0.1:0";
        assert_eq!(faults(&[("http.listen", any), ("grpc.listen", any), ("admin.listen", any)]).len(), 0);
    }

    #[test]
    fn without_keys_only_the_admin_listener_may_leave_loopback_and_it_warns() {
        assert_eq!(faults(&[("http.listen", "0.0.0.0:1"), ("grpc.listen", "[::]:2")]).len(), 2);
        assert_eq!(faults(&[("http.listen", "[::ffff:127.0.0.1]:1"), ("grpc.listen", "[::1]:2")]).len(), 0);
        let config = Config::for_tests(&[("admin.listen", "0.0.0.0:9464")]).unwrap();
        assert!(config.warnings().concat().contains("TLS must end in front"));
    }

    #[test]
    fn with_keys_every_listener_may_leave_loopback_and_each_without_tls_warns() {
        let keys = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(keys.path(), format!("a:send:{}", "0a".repeat(32))).unwrap();
        let beyond = [
            ("http.listen", "0.0.0.0:1"),
            ("grpc.listen", "[::]:2"),
            ("admin.listen", "192.0.2.1:3"),
            ("auth.api_keys_file", keys.path().to_str().unwrap()),
        ];
        let config = Config::for_tests(&beyond).unwrap();
        let warned = config.warnings().join(" ");
        assert!(beyond[..3].iter().all(|(key, _)| warned.contains(key)), "{warned}");
        // A broken file is told of alone: it would have been enough to set it.
        std::fs::write(keys.path(), "a:send:0a\nb\n").unwrap();
        let faults = faults(&beyond);
        assert!(faults.len() == 2 && faults.iter().all(|fault| fault.contains("line ")), "{faults:?}");
    }

    #[test]
    fn a_trusted_proxy_is_known_by_its_network_in_either_form() {
        let config = Config::for_tests(&[("limits.trusted_proxies", "10.0.0.0/8")]).unwrap();
        let trusts = |peer: &str| config.limits.trusts(peer.parse().unwrap());
        assert!(trusts("10.1.2.3") && trusts("::ffff:10.1.2.3") && !trusts("127.0.0.1"));
    }

    #[test]
    fn whoever_trusts_everybody_is_warned() {
        for network in ["0.0.0.0/0", "10.0.0.0/8, ::/0"] {
            let config = Config::for_tests(&[("limits.trusted_proxies", network)]).unwrap();
            assert!(config.warnings().concat().contains("every caller may choose"), "{network}");
        }
    }

    #[test]
    fn a_gateway_may_not_take_longer_than_the_call_that_waits_for_it() {
        let http =
            [("sms.provider", "http"), ("sms.http.url", "http://127.0.0.1:1/"), ("retry.on_unknown", "hold")];
        let config = Config::for_tests(&http).unwrap();
        assert!(matches!(config.notify.sms.provider, ProviderConfig::Http { .. }));
        assert!(matches!(config.notify.push.provider, ProviderConfig::Console));
        assert_eq!(config.queue.retry.on_unknown, OnUnknown::Hold);
        assert_eq!(faults(&[&http[..], &[("sms.http.timeout", "30s")]].concat()).len(), 1);
    }

    #[test]
    fn a_key_in_a_gateways_address_is_never_shown() {
        let http =
            [("push.provider", "http"), ("push.http.url", "https://gateway.example/canary?key=canary")];
        let shown = format!("{:?}", Config::for_tests(&http).unwrap());
        assert!(shown.contains("https://gateway.example") && !shown.contains("canary"), "{shown}");
    }

    #[test]
    fn every_number_has_bounds_and_its_fault_tells_them() {
        let cases = [
            ("http.max_connections", "0", "1 to 1000000"),
            ("queue.workers", "10001", "1 to 10000"),
            ("limits.per_client.rate", "1000001", "1 to 1000000"),
            ("retry.max_delay", "25h", "1ms to 24h"),
            ("shutdown.drain_deadline", "0s", "100ms to 1h"),
        ];
        for (key, text, bounds) in cases {
            let faults = faults(&[(key, text)]);
            assert!(faults.iter().any(|fault| fault.contains(bounds)), "{key}: {faults:?}");
        }
    }

    proptest! {
        #[test]
        fn no_values_panic_and_each_fault_is_one_line(
            keys in proptest::collection::vec("[a-z]{1,4}(\\.[a-z_]{0,4}){0,3}|http.listen|store.url|limits|queue.workers", 0..6),
            text in "[\\s\\S]*",
        ) {
            let values: Vec<_> = keys.iter().map(|key| (key.as_str(), text.as_str())).collect();
            prop_assert!(faults(&values).iter().all(|fault| fault.contains(": ")));
        }
    }
}
