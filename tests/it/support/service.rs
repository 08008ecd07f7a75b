//! The two services as processes.

use super::{
    gateway::Gateway,
    page::{Account, DomainPage, Ledger},
};
use chassis_test::{Answer, Certificate, Page, Running, TestApp, certificates::Files, until, until_found};
use serde_json::Value;
use std::{
    net::SocketAddr,
    ops::{Deref, DerefMut},
    thread,
};

/// The patient that tests write to.
pub const PATIENT: &str = r#"{"phone":"+4930901820"}"#;
/// What they write.
pub const MESSAGE: &str = r#"{"patientId":"p-1","message":"a reminder"}"#;
pub const ASYNC: &str = "/api/v1/notifications/sms/async";
pub const SYNC: &str = "/api/v1/notifications/sms";
pub const PUSH: &str = "/api/v1/notifications/push";
pub const REPORTS: &str = "/api/v1/reports";

/// A service that is to be started, see [`TestApp`].
pub struct Site(TestApp);

impl Site {
    /// Delivers to the console.
    pub fn new() -> Self {
        let app = TestApp::new(env!("CARGO_BIN_EXE_epro-notify"), "APP_").with_store();
        Self(app.with("APP_GRPC__LISTEN", "127.0.0.1:0"))
    }

    /// The second service, calling this target.
    pub fn ctms(target: &str) -> Self {
        Self(TestApp::new(env!("CARGO_BIN_EXE_ctms"), "APP_").with("APP_EPRO__TARGET", target))
    }

    /// The second service before these.
    pub fn ctms_before(addresses: &[SocketAddr]) -> Self {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        Self::ctms(&format!("static://{}", addresses.join(",")))
    }

    /// Delivers SMS to this gateway, and retries soon.
    pub fn sending_to(gateway: &Gateway) -> Self {
        Self::sending_to_url(&gateway.url())
    }

    pub fn sending_to_url(url: &str) -> Self {
        Self::new()
            .with("APP_SMS__PROVIDER", "http")
            .with("APP_SMS__HTTP__URL", url)
            .with("APP_RETRY__BASE_DELAY", "20ms")
            .with("APP_RETRY__MAX_DELAY", "200ms")
    }

    /// Delivers pushes to this address too.
    pub fn pushing_to(self, url: &str) -> Self {
        self.with("APP_PUSH__PROVIDER", "http").with("APP_PUSH__HTTP__URL", url)
    }

    /// Exports spans soon.
    pub fn exporting_to(self, endpoint: &str) -> Self {
        self.with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).with("OTEL_BSP_SCHEDULE_DELAY", "20")
    }

    /// Lets each client ask this often a second, and so many times at once.
    pub fn limited(self, rate: &str, burst: &str) -> Self {
        self.with("APP_LIMITS__PER_CLIENT__RATE", rate).with("APP_LIMITS__PER_CLIENT__BURST", burst)
    }

    /// Speaks TLS with this certificate on a listener, such as `HTTP`.
    pub fn encrypted(self, listener: &str, certificate: &Certificate) -> (Self, Files) {
        let files = certificate.write(self.folder());
        let [cert, key] = ["CERT", "KEY"].map(|half| format!("APP_{listener}__TLS__{half}_FILE"));
        let site = self.with(&cert, files.cert.to_str().unwrap()).with(&key, files.key.to_str().unwrap());
        (site, files)
    }

    pub fn with(self, key: &str, value: &str) -> Self {
        Self(self.0.with(key, value))
    }

    pub fn start(&self) -> Service {
        Service(self.0.start())
    }

    /// Starts it with the patient of [`MESSAGE`] in the directory, whom only the first start needs.
    pub fn start_with_patient(&self) -> Service {
        let service = self.start();
        service.contact("p-1", PATIENT);
        service
    }

    pub fn start_quietly(&mut self) -> Service {
        Service(self.0.start_quietly())
    }

    pub fn spawn(&self) -> Service {
        Service(self.0.spawn())
    }
}

impl Deref for Site {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.0
    }
}

impl DerefMut for Site {
    fn deref_mut(&mut self) -> &mut TestApp {
        &mut self.0
    }
}

/// A running service, see [`Running`].
pub struct Service(Running);

impl Deref for Service {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}

impl Service {
    /// Submits [`MESSAGE`] and returns the id that was accepted.
    pub fn accept(&self) -> String {
        self.accept_body(MESSAGE)
    }

    /// Submits an SMS and returns its id.
    pub fn accept_body(&self, body: &str) -> String {
        let answer = self.ask("POST", ASYNC, body);
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.text("id")
    }

    /// The answers to so many of the same POST at once.
    pub fn post_at_once(&self, count: usize, path: &str, body: &str) -> Vec<Answer> {
        thread::scope(|scope| {
            let callers: Vec<_> = (0..count).map(|_| scope.spawn(|| self.ask("POST", path, body))).collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).collect()
        })
    }

    /// A POST with an `Idempotency-Key`.
    pub fn keyed(&self, key: &str, path: &str, body: &str) -> Answer {
        self.ask_with("POST", path, &[("idempotency-key", key)], body)
    }

    /// Sets a patient's contact.
    pub fn contact(&self, patient: &str, contact: &str) {
        let answer = self.ask("PUT", &format!("/api/v1/patients/{patient}"), contact);
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }

    pub fn notification(&self, id: &str) -> Value {
        let answer = self.get(&format!("/api/v1/notifications/{id}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub fn cancel(&self, id: &str) -> Answer {
        self.ask("DELETE", &format!("/api/v1/notifications/{id}"), "")
    }

    pub fn resolve(&self, id: &str, status: &str) -> Answer {
        let body = format!(r#"{{"status":"{status}"}}"#);
        self.ask("POST", &format!("/api/v1/notifications/{id}/resolve"), &body)
    }

    pub fn replay(&self, id: &str) -> Answer {
        self.ask("POST", &format!("/api/v1/dead-letters/{id}/replay"), "")
    }

    /// Waits until the notification has this status, and returns it.
    pub fn until_status(&self, id: &str, status: &str) -> Value {
        until_found(&format!("{id} becomes {status}"), || {
            let shown = self.notification(id);
            if shown["status"] == status { Ok(shown) } else { Err(shown) }
        })
    }

    /// Waits until this attempt outcome is in the notification's history.
    pub fn until_attempt(&self, id: &str, outcome: &str) -> Value {
        until(&format!("{id} has an attempt that ended {outcome}"), || {
            Some(self.notification(id)).filter(|shown| outcomes(shown).iter().any(|found| found == outcome))
        })
    }

    /// A page of metrics whose figures of the store were counted after this was asked.
    pub fn counted(&self) -> Page {
        counted(|| self.metrics())
    }

    /// The ledger as of now, which is exact whenever it is looked at.
    pub fn ledger(&self) -> Ledger {
        let ledger = self.counted().ledger();
        ledger.assert_exact();
        ledger
    }

    /// Waits until nothing is queued any more.
    pub fn until_drained(&self) -> Ledger {
        until("an empty queue", || Some(self.ledger()).filter(|ledger| ledger.of("queued") == 0))
    }

    /// The account of spans, once nothing is queued and no span is added or waits.
    pub fn account_at_rest(&self) -> Account {
        self.until_drained();
        let mut before = None;
        until("an account at rest", || {
            let account = self.metrics().account();
            let same = before.replace(account) == Some(account);
            (same && account.queued == 0 && account.is_exact()).then_some(account)
        })
    }

    /// Interrupted attempts that this start has found.
    pub fn recovered(&self) -> u64 {
        self.metrics().sum("queue_recovered_jobs_total", &[])
    }

    // What consumes the process.

    pub fn kill(self) {
        self.0.kill();
    }

    pub fn stop(self) {
        self.0.stop();
    }

    pub fn stop_and_read(self) -> String {
        self.0.stop_and_read()
    }

    pub fn ended(self) -> (i32, String) {
        self.0.ended()
    }

    pub fn ended_with(self) -> (i32, String, String) {
        self.0.ended_with()
    }
}

/// A page whose figures of the store were counted after this was asked.
pub fn counted(page: impl Fn() -> Page) -> Page {
    let recounts = |page: &Page| page.of("queue_recounts_total").next().map(|sample| sample.value);
    let before = recounts(&page()).unwrap();
    until("the jobs are counted", || {
        let page = page();
        // The next one may have begun before, and the last one may be counted already while its figures are not shown yet.
        (recounts(&page)? >= before + 3.0).then_some(page)
    })
}

/// The outcomes of a shown notification's attempts, in order.
pub fn outcomes(shown: &Value) -> Vec<String> {
    let attempts = shown["attempts"].as_array().unwrap();
    attempts.iter().map(|attempt| attempt["outcome"].as_str().unwrap().to_owned()).collect()
}

/// Whether the answer is a repeat's.
pub fn replayed(answer: &Answer) -> bool {
    answer.header("idempotency-replayed") == Some("true")
}

/// A service of two workers that a silent gateway holds for longer than it may drain: of five accepted
/// notifications two are in an attempt.
pub fn stuck(on_unknown: &str) -> (Gateway, Site, Service) {
    let gateway = Gateway::behaving(r#"{"blackHole":true}"#);
    let site = Site::sending_to(&gateway)
        .with("APP_QUEUE__WORKERS", "2")
        .with("APP_RETRY__ON_UNKNOWN", on_unknown)
        .with("APP_SMS__HTTP__TIMEOUT", "25s")
        .with("APP_SHUTDOWN__DRAIN_DEADLINE", "1s");
    let service = site.start_with_patient();
    (0..5).for_each(|_| drop(service.accept()));
    gateway.has_received(2);
    (gateway, site, service)
}
