//! Callers of the services' HTTP and gRPC, with a key.

use super::keys::{Files, Key};
use chassis_test::{Answer, Connection, until_so};
use epro_notify::proto::epro::{
    GetLatestReportRequest, SubmitReportRequest, epro_service_client::EproServiceClient,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};
use tonic::{
    Code, Request, Status,
    transport::{Certificate, Channel, ClientTlsConfig},
};

pub const API: &str = "/api/v1";
/// Calls of who asks too often.
const AT_ONCE: usize = 100;
/// Between two questions of who waits: fewer than the rate limit allows.
const BETWEEN: Duration = Duration::from_millis(70);

/// Waits until it is so, for what is asked through the limited doors.
pub fn until_told(what: &str, mut ask: impl FnMut() -> bool) {
    until_so(what, || {
        thread::sleep(BETWEEN);
        ask()
    });
}

/// Asks over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    http: SocketAddr,
    key: Key,
    /// Its own address, if not 127.0.0.1.
    from: Option<IpAddr>,
}

impl Caller {
    pub fn of(http: SocketAddr, key: Key) -> Self {
        Self { http, key, from: None }
    }

    pub fn with(self, key: Key) -> Self {
        Self { key, ..self }
    }

    pub fn from(self, address: IpAddr) -> Self {
        Self { from: Some(address), ..self }
    }

    /// What is answered, whatever it is. `path` is below [`API`].
    pub fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let connection = match self.from {
            Some(address) => Connection::open_from(address, self.http),
            None => Connection::open(self.http),
        };
        let authorization = format!("Bearer {}", self.key.text());
        let headers = [("authorization", authorization.as_str())];
        let answer = connection
            .and_then(|mut connection| connection.send_with(method, &format!("{API}{path}"), &headers, body));
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// The same, of which this status is expected.
    pub fn expect(&self, status: u16, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.ask(method, path, &body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {answer:?}");
        answer
    }

    pub fn get(&self, path: &str) -> Answer {
        self.expect(200, "GET", path, &Value::Null)
    }

    /// Submits a notification of this channel, and returns its id.
    pub fn accept(&self, channel: &str, priority: &str, more: &Value) -> String {
        let mut body = message(channel);
        body["priority"] = json!(priority);
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        self.expect(202, "POST", &format!("/notifications/{channel}/async"), &body).text("id")
    }

    /// Waits until all of these have this status.
    pub fn until_all(&self, ids: &[String], status: &str) {
        for id in ids {
            until_told(&format!("{id} becomes {status}"), || {
                let now = self.get(&format!("/notifications/{id}")).text("status");
                let over = matches!(&*now, "delivered" | "dead" | "expired" | "cancelled" | "unknown");
                assert!(!over || now == status, "{id} became {now} instead of {status}");
                now == status
            });
        }
    }

    /// Asks as fast as four callers can until one of them is limited.
    pub fn until_limited(&self, path: &str) {
        let limited = AtomicBool::new(false);
        let authorization = format!("Bearer {}", self.key.text());
        let ask = || {
            let mut connection = Connection::open(self.http).unwrap();
            let (headers, path) = ([("authorization", authorization.as_str())], format!("{API}{path}"));
            while !limited.load(Relaxed) {
                let status = connection.send_with("GET", &path, &headers, "").unwrap().status;
                limited.fetch_or(status == 429, Relaxed);
            }
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(ask))));
    }
}

/// To the patient who has a telephone and an app.
pub fn message(channel: &str) -> Value {
    match channel {
        "push" => json!({ "patientId": "p-1", "title": "Diary", "message": "Please fill in your diary" }),
        _ => json!({ "patientId": "p-1", "message": "Please fill in your diary" }),
    }
}

/// Asks over gRPC and TLS.
pub struct Rpc {
    runtime: Runtime,
    client: EproServiceClient<Channel>,
    key: Key,
}

impl Rpc {
    pub fn of(grpc: SocketAddr, files: &Files, key: Key) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let authorities = Certificate::from_pem(fs::read(&files.authorities).unwrap());
        let tls = ClientTlsConfig::new().ca_certificate(authorities).domain_name("localhost");
        let channel = Channel::from_shared(format!("https://{grpc}")).unwrap().tls_config(tls).unwrap();
        let channel = {
            let _entered = runtime.enter();
            channel.connect_lazy()
        };
        Self { runtime, client: EproServiceClient::new(channel), key }
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let key = format!("Bearer {}", self.key.text()).parse().unwrap();
        request.metadata_mut().insert("authorization", key);
        request
    }

    pub fn submit(&mut self, patient: &str, content: &str) -> Code {
        let report = SubmitReportRequest { patient_id: patient.into(), content: content.into() };
        let request = self.request(report);
        code(&self.runtime.block_on(self.client.submit_report(request)))
    }

    pub fn latest(&mut self, patient: &str) -> Code {
        let request = self.request(GetLatestReportRequest { patient_id: patient.into() });
        code(&self.runtime.block_on(self.client.get_latest_report(request)))
    }

    /// Asks for many at once until one of them is limited.
    pub fn until_limited(&mut self, patient: &str) {
        until_so("a call is limited", || {
            let asked = (0..AT_ONCE).map(|_| {
                let (mut client, patient_id) = (self.client.clone(), patient.to_owned());
                let request = self.request(GetLatestReportRequest { patient_id });
                async move { code(&client.get_latest_report(request).await) }
            });
            self.runtime.block_on(join_all(asked)).contains(&Code::ResourceExhausted)
        });
    }
}

fn code<T>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().map_or_else(Status::code, |_| Code::Ok)
}
