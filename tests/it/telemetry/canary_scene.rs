//! Everything that comes from outside, with a canary in it: requests that go well and wrong, a gateway's
//! answers, addresses and the environment.

use crate::support::{
    gateway::{Act, RawGateway},
    prelude::*,
};
use chassis_test::client::ask_raw;
use std::net::SocketAddr;

const CANARY: &str = "/api/v1/patients/canary-patient";
const CONTACT: &str = r#"{"phone":"+4930901829","pushTokens":[{"platform":"fcm","token":"canary-token"}],"timeZone":"Atlantic/Canary","locale":"de-canary"}"#;
const SMS: &str = r#"{"patientId":"canary-patient","message":"canary message"}"#;
const TO_DEVICE: &str = r#"{"patientId":"canary-patient","title":"canary title","message":"canary message"}"#;
const REPORT: &str = r#"{"patientId":"canary-patient","content":"canary content"}"#;
const LATEST: &str = "/api/v1/patients/canary-patient/reports/latest";

/// Answers of a gateway in words of its own.
pub const DELIVERED: &str = "HTTP/1.1 200 canary-reason\r\nx-canary: canary\r\nset-cookie: canary=canary\r\ncontent-length: 19\r\n\r\n{\"messageId\":\"m-1\"}";
const ANSWERS: [&str; 7] = [
    "HTTP/1.1 302 canary\r\nlocation: http://canary.invalid/canary?canary\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 404 canary\r\nx-canary: canary\r\ncontent-length: 6\r\n\r\ncanary",
    "HTTP/1.1 500 canary\r\nretry-after: canary\r\ncontent-length: 6\r\n\r\ncanary",
    "HTTP/1.1 200 OK\r\ncontent-encoding: canary\r\ncontent-length: 60\r\n\r\ncanary",
    "HTTP/1.1 canary\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncanary canary: canary\r\n\r\n",
    "canary\r\n\r\n",
];

/// What a caller presents, and the SHA-256 by which it is known.
const KEY: &str = "authorization: Bearer canary-key\r\n";
pub const KEY_HASH: &str = "0b8bdfd5fe8e2887553f64e360259947f07d61acd45d51b4a74a53008e5a9597";

/// Settings with canaries wherever a secret may stand.
pub fn site(sms: SocketAddr, push: SocketAddr, collector: SocketAddr) -> Site {
    let url = |address| format!("http://{address}/canary-path?canary=canary-query");
    let site = Site::new();
    let keys = site.file("canary-keys", format!("# canary\napp:send,read,operate:{KEY_HASH}\n"));
    let secret = site.file("canary-authorization", "Basic canary-authorization");
    site.with("APP_AUTH__API_KEYS_FILE", &keys)
        .with("APP_SMS__HTTP__AUTHORIZATION_FILE", &secret)
        .with("RUST_LOG", "trace")
        .with("APP_SMS__PROVIDER", "http")
        .with("APP_SMS__HTTP__URL", &url(sms))
        .with("APP_PUSH__PROVIDER", "http")
        .with("APP_PUSH__HTTP__URL", &url(push))
        .with("APP_REPORTS__RECEIPT", "sms")
        .with("APP_REPORTS__RECEIPT_TEXT", "canary receipt")
        .with("APP_RETRY__MAX_ATTEMPTS", "2")
        .with("APP_RETRY__BASE_DELAY", "20ms")
        .with("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.0/8")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{collector}"))
        .with("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary,x-token=canary")
        .with("SOME_SECRET", "canary-of-the-environment")
}

/// Sends everything. Returns the answers that must not repeat any of it.
pub fn play(service: &Service, gateway: &RawGateway) -> Vec<Answer> {
    let mut told = Vec::new();
    let created = send(service, "PUT", CANARY, CONTACT, "1");
    assert_eq!(created.status, 201, "{created:?}");
    assert!(send(service, "GET", &format!("{CANARY}?canary=canary"), "", "2").body.contains("canary"));
    told.extend(deliveries(service, gateway));
    told.extend(reports(service));
    for (number, (method, path, body)) in wrong().into_iter().enumerate() {
        let answer = send(service, method, &path, &body, &format!("wrong-{number}"));
        assert!(answer.status >= 400, "{method} {path} {body}: {answer:?}");
        told.push(answer);
    }
    told.extend(raw().iter().filter_map(|request| ask_raw(service.http, request).ok()));
    told.push(service.admin("PUT", "/log-filter", "canary[canary=canary"));
    told.push(service.admin("PUT", "/log-filter", "trace,canary=trace"));
    for path in ["/canary?canary", "/readyz?canary", "/metrics?canary", "/livez", "/version"] {
        told.push(service.admin("GET", path, ""));
    }
    let other = "/api/v1/patients/canary-other";
    assert_eq!(send(service, "PUT", other, CONTACT, "3").status, 201);
    told.push(send(service, "DELETE", other, "", "4"));
    told
}

/// Messages that are delivered, retried and refused, as the gateways' answers go.
fn deliveries(service: &Service, gateway: &RawGateway) -> Vec<Answer> {
    let mut told = Vec::new();
    let later = send(service, "POST", ASYNC, SMS, "later");
    let again = send(service, "POST", ASYNC, SMS, "later");
    assert_eq!((later.status, again.header("idempotency-replayed")), (202, Some("true")), "{again:?}");
    service.until_drained();
    let reused = send(service, "POST", ASYNC, r#"{"patientId":"canary","message":"canary"}"#, "later");
    assert_eq!(reused.status, 422, "{reused:?}");
    told.extend([later, again, reused, send(service, "POST", SYNC, SMS, "now")]);
    for (number, answer) in ANSWERS.into_iter().enumerate() {
        gateway.will(&[Act::Bytes(answer)]);
        told.push(send(service, "POST", PUSH, TO_DEVICE, &format!("push-{number}")));
        gateway.will(&[Act::Bytes(answer)]);
        let accepted = send(service, "POST", &format!("{PUSH}/async"), TO_DEVICE, &format!("later-{number}"));
        let path = format!("/api/v1/notifications/{}", accepted.text("id"));
        let shown = || send(service, "GET", &path, "", "status");
        until_so("it was attempted", || !outcomes(&shown().json()).is_empty());
        told.extend([accepted, shown()]);
    }
    told.push(send(service, "GET", "/api/v1/dead-letters?limit=100", "", "dead"));
    told
}

/// Reports that are kept with their receipts, repeated, refused and shown.
fn reports(service: &Service) -> Vec<Answer> {
    let kept = send(service, "POST", REPORTS, REPORT, "report");
    let again = send(service, "POST", REPORTS, REPORT, "report");
    assert_eq!((kept.status, again.header("idempotency-replayed")), (201, Some("true")), "{again:?}");
    let reused = send(service, "POST", REPORTS, &REPORT.replace("content\":", "content\": "), "report");
    assert_eq!(reused.status, 422, "{reused:?}");
    let alone = send(service, "POST", REPORTS, &REPORT.replace("patient\"", "nobody\""), "no-receipt");
    assert_eq!(alone.status, 201, "{alone:?}");
    service.until_drained();
    let shown = send(service, "GET", &format!("{LATEST}?canary=canary"), "", "latest");
    assert!(shown.body.contains("canary content"), "{shown:?}");
    vec![kept, again, reused, alone]
}

const WRONG_PATIENTS: &[&str] = &[
    r#"{"phone":"canary"}"#,
    r#"{"phone":"+4930901829canary"}"#,
    r#"{"timeZone":"canary canary"}"#,
    r#"{"locale":"canary canary"}"#,
    r#"{"pushTokens":[{"platform":"canary","token":"canary"}]}"#,
    r#"{"pushTokens":[{"platform":"fcm","token":"canary\u0000canary"}]}"#,
    r#"{"pushTokens":[{"platform":"fcm","token":["canary"]}]}"#,
    r#"{"pushTokens":{"canary":"canary"}}"#,
    r#"{"canary":{"canary":["canary"]}}"#,
];
const WRONG_MESSAGES: &[&str] = &[
    r#"{"canary-name":"canary-value"}"#,
    r#"{"patientId":"canary patient","message":"canary"}"#,
    r#"{"patientId":"canary-nobody","message":"canary"}"#,
    r#"{"patientId":["canary"],"message":{"canary":"canary"}}"#,
    r#"{"patientId":"canary","patientId":"canary","message":"canary"}"#,
    r#"{"patientId":"canary-patient","message":"canary","priority":"canary"}"#,
    r#"{"patientId":"canary-patient","message":"canary","sendAt":"canary"}"#,
    r#"{"patientId":"canary-patient","message":"canary","notAfter":"2001-01-01T00:00:00Z canary"}"#,
    r#"{"patientId":"canary"#,
    "canary",
    r#"["canary"]"#,
    r#""canary""#,
];
const WRONG_REPORTS: &[&str] = &[
    r#"{"patientId":"canary patient","content":"canary"}"#,
    r#"{"patientId":"canary","content":""}"#,
    r#"{"patientId":{"canary":1},"content":["canary"]}"#,
    r#"{"canary":"canary"}"#,
    r#"{"patientId":"canary"#,
];
const WRONG_PATHS: &[(&str, &str)] = &[
    ("GET", "/api/v1/reports/canary?canary"),
    ("GET", "/api/v1/patients/canary%20canary/reports/latest"),
    ("GET", "/api/v1/patients/canary-none/reports/latest?canary"),
    ("GET", "/canary?canary=canary"),
    ("GET", "/api/v1/patients/canary%20canary"),
    ("GET", "/api/v1/patients/canary-nobody?canary"),
    ("GET", "/api/v1/patients/canary/canary"),
    ("PATCH", "/api/v1/patients/canary?canary"),
    ("CANARY", "/api/v1/patients/canary"),
    ("GET", "/api/v1/notifications/canary?canary"),
    ("DELETE", "/api/v1/notifications/canary"),
    ("GET", "/api/v1/dead-letters?status=canary"),
    ("GET", "/api/v1/dead-letters?cursor=canary&canary=canary"),
    ("POST", "/api/v1/dead-letters/canary/replay"),
];

/// What is refused, for every reason that a value can be.
fn wrong() -> Vec<(&'static str, String, String)> {
    let all = WRONG_PATIENTS.iter().map(|body| ("PUT", CANARY.to_owned(), (*body).to_owned()));
    let all = all.chain([ASYNC, SYNC, PUSH].into_iter().flat_map(|path| {
        WRONG_MESSAGES.iter().map(move |body| ("POST", format!("{path}?canary=canary"), (*body).to_owned()))
    }));
    let all = all.chain(WRONG_REPORTS.iter().map(|body| ("POST", REPORTS.to_owned(), (*body).to_owned())));
    let resolve =
        ("POST", "/api/v1/notifications/canary/resolve".to_owned(), r#"{"status":"canary"}"#.to_owned());
    let large = ("POST", ASYNC.to_owned(), "canary".repeat(20_000));
    all.chain(WRONG_PATHS.iter().map(|(method, path)| (*method, (*path).to_owned(), String::new())))
        .chain([resolve, large])
        .collect()
}

/// What no client library would send.
fn raw() -> Vec<String> {
    let traces =
        "host: localhost\r\ntraceparent: 00-canary-canary-01\r\nuber-trace-id: canary:canary:0:1\r\n";
    let headers = format!("{traces}{KEY}");
    let presented = [
        "authorization: Bearer canary-unknown\r\n",
        "authorization: Bearer canary canary\r\n",
        "authorization: Basic canary\r\n",
        "authorization: canary-key\r\n",
        &KEY.repeat(2),
    ];
    let presented = presented.map(|wrong| format!("GET {ASYNC} HTTP/1.1\r\n{traces}{wrong}\r\n"));
    let mut all = vec![
        format!(
            "POST {ASYNC} HTTP/1.1\r\n{headers}content-type: text/canary\r\ncontent-length: 6\r\n\r\ncanary"
        ),
        format!("POST {ASYNC} HTTP/1.1\r\n{headers}content-length: canary\r\n\r\ncanary"),
        format!(
            "POST {ASYNC} HTTP/1.1\r\n{headers}transfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\ncanary\r\n\r\n"
        ),
        format!(
            "POST {ASYNC} HTTP/1.1\r\n{headers}idempotency-key: canary \u{e9}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{SMS}",
            SMS.len()
        ),
        format!("GET /canary HTTP/1.1\r\n{headers}canary canary: canary\r\n\r\n"),
        "canary canary canary\r\n\r\n".to_owned(),
        format!("GET /canary HTTP/1.1\r\n{headers}x-canary: {}\r\n\r\n", "canary".repeat(100_000)),
    ];
    all.extend(presented);
    all
}

/// A request with a canary in every header that anybody reads or might log.
fn send(service: &Service, method: &str, path: &str, body: &str, key: &str) -> Answer {
    let key = format!("canary-{key}");
    let headers = [
        ("authorization", "Bearer canary-key"),
        ("x-forwarded-for", "canary-address, 127.0.0.1"),
        ("forwarded", "for=canary"),
        ("tracestate", "canary=canary"),
        ("baggage", "canary=canary"),
        ("user-agent", "canary/1"),
        ("cookie", "canary=canary"),
        ("referer", "http://canary/canary"),
        ("x-request-id", "canary"),
        ("idempotency-key", &*key),
    ];
    service.ask_with(method, path, &headers, body)
}
