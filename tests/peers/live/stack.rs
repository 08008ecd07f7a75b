//! All programs of the proof, on free ports and in temporary folders: a gateway, two instances of the ePRO
//! service with a store each, the trial management service that calls both over gRPC, and Prometheus. They end
//! with the stack.

use super::{
    caller::Caller,
    keys::{APP, Files},
    prometheus::{Prometheus, shipped_rules},
};
use crate::{
    program::{Program, etcd, free_address},
    support::{
        gateway::Gateway,
        service::{Service, Site},
    },
};
use chassis_test::until_so;
use std::net::SocketAddr;
use tempfile::TempDir;

/// Has the characters of previews.
const FONT: &str = "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc";
/// Requests a second that a client sustains, and may send at once.
const RATE: &str = "20";
const BURST: &str = "60";
/// Jobs that may be due: few, so that they can be exceeded.
pub const BACKLOG: usize = 40;
/// Connections that a listener has open.
pub const CONNECTIONS: usize = 100;

/// A service, or the place of one that is gone for a while.
pub struct Member {
    pub site: Site,
    running: Option<Service>,
    /// What it is called in Prometheus.
    pub instance: String,
}

impl Member {
    fn start(mut site: Site) -> Self {
        let service = site.start();
        // It is scraped, called and asked where it was, also after it was killed.
        site.set("APP_ADMIN__LISTEN", &service.admin.to_string());
        site.set("APP_HTTP__LISTEN", &service.http.to_string());
        if service.grpc.port() != 0 {
            site.set("APP_GRPC__LISTEN", &service.grpc.to_string());
        }
        Self { site, instance: service.admin.to_string(), running: Some(service) }
    }

    /// The running one.
    pub fn service(&self) -> &Service {
        self.running.as_ref().unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running.take().unwrap().kill();
    }

    /// On the same ports and files, once it is ready.
    pub fn start_again(&mut self) {
        self.running = Some(self.site.start());
    }

    pub fn caller(&self) -> Caller {
        Caller::of(self.service().http, APP)
    }

    /// The sum of these series as its own page has them now.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.service().metrics().sum(name, labels)
    }

    /// Waits until a series has this value, which is no counter's.
    pub fn until(&self, name: &str, labels: &[(&str, &str)], value: u64) {
        let what = format!("{name}{labels:?} of {} is {value}", self.instance);
        until_so(&what, || self.count(name, labels) == value);
    }

    /// Waits until a counter is no longer 0.
    pub fn until_counted(&self, name: &str, labels: &[(&str, &str)]) {
        let what = format!("{name}{labels:?} of {} is counted", self.instance);
        until_so(&what, || self.count(name, labels) > 0);
    }
}

/// Everything that runs. Fields are dropped in this order.
pub struct Stack {
    pub prometheus: Prometheus,
    pub ctms: Member,
    pub instances: Vec<Member>,
    pub gateway: Gateway,
    pub files: Files,
    _registry: Program,
    _folder: TempDir,
}

impl Stack {
    /// Ready to be called. `telemetry` are variables of all services, as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub fn start(telemetry: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::write(folder.path());
        let gateway = Gateway::behaving(r#"{"latency":"10ms"}"#);
        let addresses = [free_address(), free_address()];
        // Where the instances register.
        let (registry, registered_at) = (etcd(folder.path(), addresses), addresses[0]);
        let prepare = |site: Site| telemetry.iter().fold(site, |site, (key, value)| site.with(key, value));
        let instances: Vec<Member> =
            (0..2).map(|_| Member::start(prepare(instance(&gateway, &files, registered_at)))).collect();
        let target: Vec<String> = instances.iter().map(|one| one.service().grpc.to_string()).collect();
        let ctms = Member::start(prepare(ctms(&format!("static://{}", target.join(",")), &files)));
        let scraped = instances.iter().map(|one| one.service().admin).collect();
        let jobs = [("epro-notify", scraped), ("ctms", vec![ctms.service().admin])];
        let prometheus = Prometheus::start(&jobs, &shipped_rules());
        Self { prometheus, ctms, instances, gateway, files, _registry: registry, _folder: folder }
    }

    /// Job and instance of every service.
    pub fn members(&self) -> Vec<(&'static str, &str)> {
        let instances = self.instances.iter().map(|one| ("epro-notify", one.instance.as_str()));
        instances.chain([("ctms", self.ctms.instance.as_str())]).collect()
    }
}

fn instance(gateway: &Gateway, files: &Files, registry: SocketAddr) -> Site {
    let mut site = Site::sending_to(gateway);
    guarded(&mut site);
    for (key, value) in [
        ("APP_PUSH__PROVIDER", "http"),
        ("APP_PUSH__HTTP__URL", &gateway.url()),
        ("APP_SMS__HTTP__TIMEOUT", "2s"),
        ("APP_PUSH__HTTP__TIMEOUT", "2s"),
        ("APP_RETRY__MAX_ATTEMPTS", "30"),
        ("APP_RETRY__ON_UNKNOWN", "hold"),
        ("APP_DEGRADATION__HOLD", "500ms"),
        ("APP_QUEUE__MAX_BACKLOG", &BACKLOG.to_string()),
        ("APP_REPORTS__RECEIPT", "sms"),
        ("APP_REPORTS__PREVIEW__FONT_FILE", FONT),
        ("APP_AUTH__API_KEYS_FILE", &files.keys.display().to_string()),
        ("APP_GRPC__TLS__CERT_FILE", &files.tls.cert.display().to_string()),
        ("APP_GRPC__TLS__KEY_FILE", &files.tls.key.display().to_string()),
        ("APP_GRPC__REGISTER", &format!("etcd://{registry}/live")),
    ] {
        site.set(key, value);
    }
    site
}

fn ctms(target: &str, files: &Files) -> Site {
    let mut site = Site::ctms(target);
    guarded(&mut site);
    for (key, value) in [
        ("APP_EPRO__API_KEY_FILE", &*files.ctms.display().to_string()),
        ("APP_EPRO__TLS__ENABLED", "true"),
        ("APP_EPRO__TLS__CA_FILE", &files.authorities.display().to_string()),
        ("APP_EPRO__TLS__SERVER_NAME", "localhost"),
        ("APP_EPRO__CACHE_MAX", "3"),
        // Whoever asks too often is to be met by the instances.
        ("APP_LIMITS__PER_CLIENT__RATE", "1000000"),
        ("APP_LIMITS__PER_CLIENT__BURST", "1000000"),
    ] {
        site.set(key, value);
    }
    site
}

/// What all services have: doors that can be found closed within a scene.
fn guarded(site: &mut Site) {
    for (key, value) in [
        ("APP_LIMITS__PER_CLIENT__RATE", RATE),
        ("APP_LIMITS__PER_CLIENT__BURST", BURST),
        ("APP_HTTP__HEADER_TIMEOUT", "1s"),
        ("APP_HTTP__MAX_CONNECTIONS", &CONNECTIONS.to_string()),
    ] {
        site.set(key, value);
    }
}
