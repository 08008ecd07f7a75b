//! HTTP as callers, browsers and proxies meet it: every answer told once, whichever layer gives it.

use crate::support::{
    keys::{line, text, with_keys},
    prelude::*,
};
use chassis_test::{
    client::ask_raw,
    raw,
    spans::{SpanKind, StatusCode, attribute, hex, integer},
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
};

const NOTIFICATION: &str = "/api/v1/notifications/{id}";

/// A request: its first line, its headers, its body; and what it is told as: status, method, route.
struct Case {
    line: &'static str,
    headers: String,
    body: String,
    status: u16,
    route: &'static str,
}

fn case(line: &'static str, headers: &str, body: &str, status: u16, route: &'static str) -> Case {
    let length = format!("Content-Length: {}\r\n", body.len());
    let headers =
        if headers.contains("Content-Length") { headers.to_owned() } else { headers.to_owned() + &length };
    Case { line, headers, body: body.to_owned(), status, route }
}

fn cases() -> Vec<Case> {
    let json = "Content-Type: application/json\r\n";
    let post = "POST /api/v1/notifications/sms/async";
    let (known, reader) = (bearer("known"), bearer("reader"));
    let sends = format!("{known}{json}");
    let strangers = "Authorization: Bearer secret-canary\r\n";
    vec![
        case("GET /api/v1/dead-letters?limit=1", &known, "", 200, "/api/v1/dead-letters"),
        case("HEAD /api/v1/dead-letters", &known, "", 200, "/api/v1/dead-letters"),
        case("OPTIONS /api/v1/dead-letters", "", "", 204, "/api/v1/dead-letters"),
        case(post, &sends, MESSAGE, 202, ASYNC),
        case(post, &sends, r#"{"patientId""#, 400, ASYNC),
        case(post, &reader, MESSAGE, 403, ASYNC),
        case("GET /api/v1/notifications/secret-canary?q=secret-canary", &known, "", 404, NOTIFICATION),
        case("GET /secret-canary", &known, "", 404, "unmatched"),
        case("GET /secret-canary", "", "", 401, "unmatched"),
        case("GET /api/v1/dead-letters", strangers, "", 401, "/api/v1/dead-letters"),
        case("POST /api/v1/dead-letters", &known, "", 405, "/api/v1/dead-letters"),
        case("BREW /api/v1/dead-letters", &known, "", 405, "/api/v1/dead-letters"),
        case(post, &format!("{sends}Content-Length: 9\r\n"), "{", 408, ASYNC),
        case(post, &sends, &"x".repeat(70_000), 413, ASYNC),
        case(post, &format!("{known}Content-Type: text/plain\r\n"), "{}", 415, ASYNC),
        case(post, &format!("{sends}Content-Encoding: gzip\r\n"), "{}", 415, ASYNC),
        case(post, &sends, r#"{"nam":1}"#, 422, ASYNC),
    ]
}

fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {}\r\n", text(key))
}

fn site() -> Site {
    let keys = [line("known", "send,read,operate"), line("reader", "read")];
    with_keys(Site::new(), &keys).with("APP_HTTP__BODY_TIMEOUT", "500ms")
}

/// The answer to a request that may be cut off while it is sent.
fn exchange(address: SocketAddr, request: &str) -> Answer {
    let mut connection = Connection::open(address).unwrap();
    let _ = connection.write(request.as_bytes());
    connection.read_answer(request.starts_with("HEAD")).unwrap()
}

#[test]
fn each_answer_is_counted_logged_and_traced_once_in_the_callers_trace() {
    let collector = Collector::start(Behaviour::Accept);
    let service = site().exporting_to(&collector.endpoint()).start();
    let mut asked = Vec::new();
    for case in cases() {
        let trace = TraceParent::new();
        let head =
            format!("Host: localhost\r\nConnection: close\r\ntraceparent: {trace}\r\n{}", case.headers);
        let answer = exchange(service.http, &format!("{} HTTP/1.1\r\n{head}\r\n{}", case.line, case.body));
        assert_eq!(answer.status, case.status, "{}: {answer:?}", case.line);
        let told = answer.header("traceparent").unwrap_or_default().to_owned();
        assert!(told.starts_with(&format!("00-{}-", trace.trace_id)) && told.ends_with("-01"), "{answer:?}");
        if case.status >= 400 {
            is_problem(&answer, &trace.trace_id);
        }
        assert_eq!(answer.header("allow").is_some(), matches!(case.status, 204 | 405), "{answer:?}");
        assert_eq!(
            answer.header("www-authenticate").is_some(),
            matches!(case.status, 401 | 403),
            "{answer:?}"
        );
        asked.push((case, trace, told));
    }
    let page = service.metrics();
    let output = service.stop_and_read();
    let spans = collector.spans();
    let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for (case, trace, told) in &asked {
        let of_it = |line: &&Value| line["message"] == "request" && line["trace_id"] == *trace.trace_id;
        let found: Vec<_> = lines.iter().filter(of_it).collect();
        assert_eq!(found.len(), 1, "{}: {found:?}", case.line);
        assert_eq!(told.split('-').nth(2), found[0]["span_id"].as_str());
        let method = case.line.split(' ').next().unwrap().replace("BREW", "OTHER");
        let fields = &found[0]["fields"];
        assert_eq!(
            (&fields["status"], &fields["route"]),
            (&case.status.into(), &case.route.into()),
            "{fields}"
        );
        assert_eq!(fields["method"], *method, "{fields}");
        let servers: Vec<_> = spans
            .iter()
            .filter(|span| hex(&span.trace_id) == trace.trace_id && span.kind() == SpanKind::Server)
            .collect();
        assert_eq!(servers.len(), 1, "{}: {servers:#?}", case.line);
        // As the conventions have it: no route if there is none, and HTTP for a method that is not known.
        let name = match (&*method, case.route) {
            (method, "unmatched") => method.to_owned(),
            ("OTHER", _) => "HTTP".to_owned(),
            (method, route) => format!("{method} {route}"),
        };
        assert_eq!(servers[0].name, name);
        assert_eq!(hex(&servers[0].parent_span_id), trace.span_id);
        assert_eq!(integer(servers[0], "http.response.status_code"), i64::from(case.status));
        assert!(servers[0].status.as_ref().is_none_or(|status| status.code() != StatusCode::Error));
        let alike = |(other, ..): &&(Case, _, _)| {
            (other.status, other.route) == (case.status, case.route)
                && other.line.split(' ').next() == case.line.split(' ').next()
        };
        let labels = [("method", &*method), ("route", case.route), ("status", &case.status.to_string())];
        let counted = page.sum("http_request_duration_seconds_count", &labels);
        assert_eq!(counted, asked.iter().filter(alike).count() as u64, "{}", case.line);
    }
    assert_eq!(page.sum("http_requests_in_flight", &[]), 0);
    assert!(spans.iter().all(|span| attribute(span, "url.path").is_none()));
    assert!(!format!("{output}{spans:?}{}", page.text).contains("secret-canary"));
}

fn is_problem(answer: &Answer, trace_id: &str) {
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!((&problem["status"], &problem["traceId"]), (&answer.status.into(), &trace_id.into()));
    for text in ["type", "title", "detail"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
}

#[test]
fn a_request_without_a_trace_begins_one_and_only_a_trusted_proxy_decides_what_is_sampled() {
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    for (proxies, flags) in [("", "-01"), ("127.0.0.0/8", "-00")] {
        let service = Site::new()
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .with("APP_LIMITS__TRUSTED_PROXIES", proxies)
            .start();
        let answer = service.ask_with("GET", "/nowhere", &[("traceparent", unsampled)], "");
        let told = answer.header("traceparent").unwrap();
        assert!(told.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && told.ends_with(flags), "{told}");
        for headers in [&[][..], &[("traceparent", "none")]] {
            let answer = service.ask_with("GET", "/nowhere", headers, "");
            assert_eq!(answer.text("traceId"), answer.trace_id());
            assert_eq!(answer.trace_id().len(), 32);
        }
    }
}

#[test]
fn a_caller_that_leaves_within_its_body_is_told_of_once_as_499() {
    let service = Site::new().start();
    let mut stream = TcpStream::connect(service.http).unwrap();
    let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 99";
    write!(stream, "POST {ASYNC} HTTP/1.1\r\n{head}\r\n\r\n{{").unwrap();
    drop(stream);
    let [line] = &service.told("request", 1)[..] else { panic!("told more than once") };
    assert_eq!(line["fields"]["status"], 499, "{line}");
}

#[test]
fn a_caller_that_still_writes_a_body_nobody_wants_gets_its_answer() {
    let service = Site::new().start();
    let large = "x".repeat(900_000);
    for (path, status) in [(ASYNC, 413), ("/nowhere", 404), ("/api/v1/dead-letters", 405)] {
        let answer = service.ask("POST", path, &large);
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

#[test]
fn a_body_that_says_it_will_be_too_large_is_refused_before_any_of_it_comes() {
    let service = Site::new().start();
    let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 10000000";
    let answer = exchange(service.http, &format!("POST {ASYNC} HTTP/1.1\r\n{head}\r\n\r\n"));
    assert_eq!(answer.status, 413);
}

#[test]
fn a_caller_that_asks_before_it_sends_is_told_to_go_on_or_why_not() {
    let service = Site::new().start();
    let head = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let mut open = Connection::open(service.http).unwrap();
    open.write(head(ASYNC, MESSAGE.len()).as_bytes()).unwrap();
    assert_eq!(open.read().unwrap().status, 100);
    open.write(MESSAGE.as_bytes()).unwrap();
    assert_eq!(open.read().unwrap().status, 202);
    for (path, length, status) in
        [("/nowhere", 9, 404), (ASYNC, 70_000, 413), ("/api/v1/dead-letters", 9, 405)]
    {
        // Nothing of the body was sent, so that the connection ends after this.
        assert_eq!(exchange(service.http, &head(path, length)).status, status, "{path}");
    }
}

#[test]
fn idle_connections_are_closed_at_the_stop_whether_they_were_used_or_not() {
    let service = Site::new().with("APP_HTTP__HEADER_TIMEOUT", "10m").start();
    let (mut unused, mut used) = (raw::connect(service.http), Connection::open(service.http).unwrap());
    assert_eq!(used.send("GET", "/nowhere", "").unwrap().status, 404);
    service.stop();
    assert_eq!(raw::rest(&mut unused), b"");
    assert!(used.send("GET", "/nowhere", "").is_err());
}

#[test]
fn slow_first_bytes_and_headers_are_closed_and_counted_and_an_idle_connection_is_not() {
    let service = Site::new().with("APP_HTTP__HEADER_TIMEOUT", "300ms").start();
    let timed_out = || service.metrics().sum("http_connections_timed_out_total", &[]);
    let mut idle = raw::connect(service.http);
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    assert!(raw::rest(&mut idle).starts_with(b"HTTP/1.1 404"));
    assert_eq!(timed_out(), 0);
    for (count, begun) in
        (1..).zip(["", "P", "PRI * HTTP/2.0\r\n", "GET /things/1 HT", "GET / HTTP/1.1\r\nHos"])
    {
        assert_eq!(raw::answers(service.http, begun.as_bytes()), "", "{begun:?}");
        until_so("it is counted", || timed_out() == count);
    }
    // A caller slow with its second request.
    let mut slow = raw::connect(service.http);
    slow.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    slow.read_exact(&mut [0]).unwrap();
    slow.write_all(b"GET /thi").unwrap();
    raw::rest(&mut slow);
    until_so("it is counted", || timed_out() == 6);
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    let service = Site::new().start_with_patient();
    for path in ["/api/v1/patients/p-1", "/api/v1/openapi.json", "/nowhere", "/api/v1/dead-letters"] {
        for headers in [&[][..], &[("accept-encoding", "gzip")]] {
            let [get, head] = ["GET", "HEAD"].map(|method| service.ask_with(method, path, headers, ""));
            assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path}");
            for name in ["content-type", "content-encoding", "cache-control"] {
                assert_eq!(head.header(name), get.header(name), "{path}: {name}");
            }
        }
    }
}

#[test]
fn options_and_405_tell_what_is_served() {
    let service = Site::new().start();
    for (path, methods) in [
        ("/api/v1/dead-letters", &["GET", "HEAD"][..]),
        (ASYNC, &["POST"]),
        ("/api/v1/patients/p-1", &["GET", "HEAD", "PUT", "DELETE"]),
    ] {
        for (method, status) in [("OPTIONS", 204), ("PATCH", 405), ("TRACE", 405), ("BREW", 405)] {
            let answer = service.ask(method, path, "");
            assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
            let allow = answer.header("allow").unwrap_or_else(|| panic!("{answer:?}"));
            assert!(methods.iter().all(|method| allow.contains(method)), "{method} {path}: {allow}");
            assert!(!allow.contains("PATCH"), "{allow}");
        }
    }
}

#[test]
fn no_answer_is_kept_or_guessed_at() {
    let service = Site::new().start_with_patient();
    for (method, path, body) in [
        ("GET", "/api/v1/patients/p-1", ""),
        ("GET", "/nowhere", ""),
        ("POST", ASYNC, MESSAGE),
        ("POST", ASYNC, "{"),
        ("DELETE", ASYNC, ""),
    ] {
        let answer = service.ask(method, path, body);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.header("strict-transport-security"), None, "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{answer:?}");
    }
}

#[test]
fn a_page_of_a_listed_origin_may_call_and_read_even_errors() {
    let origins = "https://a.example,http://localhost:3000";
    let service = Site::new().with("APP_HTTP__CORS_ORIGINS", origins).start();
    for (method, path, body) in
        [("GET", "/api/v1/dead-letters", ""), ("GET", "/nowhere", ""), ("POST", ASYNC, "{")]
    {
        let answer = service.ask_with(method, path, &[("origin", "https://a.example")], body);
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"), "{answer:?}");
        assert!(answer.headers("vary").any(|names| names.contains("origin")), "{answer:?}");
        assert!(
            answer.header("access-control-expose-headers").unwrap().contains("retry-after"),
            "{answer:?}"
        );
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{answer:?}");
        let other = service.ask_with(method, path, &[("origin", "https://b.example")], body);
        assert_eq!(other.header("access-control-allow-origin"), None, "{other:?}");
    }
    let preflight = [
        ("origin", "https://a.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key,traceparent"),
    ];
    let answer = service.ask_with("OPTIONS", ASYNC, &preflight, "");
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"));
    assert_eq!(answer.header("access-control-max-age"), Some("7200"));
    assert!(answer.header("access-control-allow-methods").unwrap().contains("POST"), "{answer:?}");
    let headers = answer.header("access-control-allow-headers").unwrap();
    for header in ["authorization", "content-type", "idempotency-key", "traceparent"] {
        assert!(headers.contains(header), "{header}: {answer:?}");
    }
}

#[test]
fn a_long_answer_is_compressed_for_those_who_take_it() {
    let gateway = Gateway::behaving(r#"{"status":422}"#);
    let service = Site::sending_to(&gateway).start_with_patient();
    for _ in 0..9 {
        service.ask("POST", SYNC, MESSAGE).problem(502, "notification-dead");
    }
    let [plain, small] = [&[][..], &[("accept-encoding", "br, gzip;q=0.5")]]
        .map(|headers| service.ask_with("GET", "/api/v1/dead-letters", headers, ""));
    assert_eq!((plain.header("content-encoding"), small.header("content-encoding")), (None, Some("gzip")));
    assert!(small.bytes.len() < plain.bytes.len() / 2);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&*small.bytes).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.body);
}

/// Request lines that are strange, or no request at all, and what they come to.
const STRANGE: &[(&str, u16)] = &[
    ("GET /api/v1/patients/p-1/ HTTP/1.1", 404),
    ("GET //api/v1/patients/p-1 HTTP/1.1", 404),
    ("GET /api/v1//patients/p-1 HTTP/1.1", 404),
    ("GET /./api/v1/patients/p-1 HTTP/1.1", 404),
    ("GET /x/../api/v1/patients/p-1 HTTP/1.1", 404),
    ("GET /%61pi/v1/patients/p-1 HTTP/1.1", 404),
    ("GET /api/v1/patients%2Fp-1 HTTP/1.1", 404),
    ("GET /api/v1/patients/a%2Fb HTTP/1.1", 422),
    ("GET /api/v1/patients/p%2D1?x=%zz HTTP/1.1", 200),
    ("GET /api/v1/patients/%00 HTTP/1.1", 422),
    ("GET * HTTP/1.1", 404),
    ("TRACE / HTTP/1.1", 404),
    ("TRACE /api/v1/patients/p-1 HTTP/1.1", 405),
    ("GET api/v1/patients/p-1 HTTP/1.1", 400),
    ("GET /api/v1/patients/p-1\u{7f} HTTP/1.1", 400),
    ("G(T /api/v1/patients/p-1 HTTP/1.1", 400),
    ("GET /api/v1/patients/p-1 HTTP/1.1 x", 400),
    ("GET /api/v1/patients/p-1 HTTP/3.7", 400),
    ("GET  /api/v1/patients/p-1 HTTP/1.1", 400),
];

#[test]
fn a_strange_request_gets_a_clear_answer() {
    let service = Site::new().start_with_patient();
    for (line, status) in STRANGE {
        let answer = ask_raw(service.http, &format!("{line}\r\nHost: localhost\r\n\r\n")).unwrap();
        assert_eq!(answer.status, *status, "{line}: {answer:?}");
        // What is no HTTP is answered by the library, without a body.
        if *status > 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{line}");
        }
    }
}

pub fn with_host(address: SocketAddr, hosts: &[&str]) -> u16 {
    let hosts: String = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
    ask_raw(address, &format!("GET /livez HTTP/1.1\r\n{hosts}\r\n")).unwrap().status
}

#[test]
fn without_keys_only_loopback_names_are_answered_and_a_host_is_given_once() {
    let service = Site::new().with("APP_LIMITS__PER_CLIENT__BURST", "30").start();
    for (address, found) in [(service.http, 404), (service.admin, 200)] {
        for host in
            ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "127.1.2.3", "[::1]", "[::1]:80"]
        {
            assert_eq!(with_host(address, &[host]), found, "{host}");
        }
        for host in [
            "evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "localhost.evil",
            "[fe80::1]:80", "[::1%25lo]",
        ] {
            assert_eq!(with_host(address, &[host]), 421, "{host}");
        }
        for hosts in [&[][..], &["localhost", "localhost"], &["localhost", "evil.example"], &[""], &["::1"]] {
            assert_eq!(with_host(address, hosts), 400, "{hosts:?}");
        }
    }
    assert_eq!(with_host(service.grpc, &["evil.example"]), 421);
    let refused = service.ask_with("GET", "/api/v1/patients/p-1", &[("host", "evil.example")], "");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"), "{refused:?}");
    assert_eq!(refused.header("x-ratelimit-limit"), None, "it is refused before it is limited");
    service.stop();
    // With keys a proxy's name is as good as any.
    let service = with_keys(Site::new(), &[line("app", "read")]).start();
    assert_eq!(with_host(service.http, &["api.example"]), 401);
}
