//! gRPC as its callers meet it: every call told once with the code that the caller reads, deadlines, health and
//! reflection, and what comes to the port without being a call.

use crate::{
    degradation::pin,
    support::{
        keys::{line, text, with_keys},
        prelude::*,
    },
};
use chassis_test::{
    Certificate,
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Http2, RST_STREAM, frame, header, request},
    raw,
    spans::{self, SpanKind, StatusCode, hex},
};
use epro_notify::proto::epro::{
    GetLatestReportRequest, GetLatestReportResponse, SubmitReportRequest,
    epro_service_client::EproServiceClient,
};
use std::time::Duration;
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    transport::{Certificate as Root, Channel, ClientTlsConfig},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
    health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt;

const SERVICE: &str = "epro.v1.EproService";
const DURATION: &str = "grpc_request_duration_seconds_count";

pub async fn channel(service: &Service) -> Channel {
    Channel::from_shared(format!("http://{}", service.grpc)).unwrap().connect().await.unwrap()
}

pub type Client = EproServiceClient<Channel>;

pub async fn client(service: &Service) -> Client {
    EproServiceClient::new(channel(service).await)
}

pub fn of(patient: &str) -> GetLatestReportRequest {
    GetLatestReportRequest { patient_id: patient.to_owned() }
}

fn report(content: String) -> SubmitReportRequest {
    SubmitReportRequest { patient_id: "p-1".to_owned(), content }
}

/// A call with this key.
pub fn by<M>(key: &str, message: M) -> Request<M> {
    with("authorization", &format!("Bearer {key}"), message)
}

fn with<M>(name: &'static str, value: &str, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(name, value.parse().unwrap());
    request
}

fn code<T>(outcome: &Result<T, Status>) -> Code {
    outcome.as_ref().map_or_else(Status::code, |_| Code::Ok)
}

/// Calls a method by its path.
pub async fn call(
    channel: Channel,
    path: &'static str,
    request: Request<GetLatestReportRequest>,
) -> Result<Response<GetLatestReportResponse>, Status> {
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<GetLatestReportRequest, GetLatestReportResponse>::default();
    client.unary(request, http::uri::PathAndQuery::from_static(path), codec).await
}

/// How many calls were counted with these labels.
fn counted(page: &Page, code: &str, service: &str, method: &str) -> u64 {
    let labels =
        [("grpc_code", code), ("grpc_service", service), ("grpc_method", method), ("side", "server")];
    page.sum(DURATION, &labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_end_of_a_call_is_told_once_in_the_callers_trace() {
    let collector = Collector::start(Behaviour::Accept);
    let keys = [line("known", "send,read"), line("sender", "send")];
    let service = with_keys(Site::new(), &keys).exporting_to(&collector.endpoint()).start();
    let channel = channel(&service).await;
    let mut client = EproServiceClient::new(channel.clone());
    let known = text("known");
    client.submit_report(by(&known, report("well".to_owned()))).await.unwrap();
    let cases: [(&str, &str, &str, Code); 8] = [
        (&known, "p-1", "/epro.v1.EproService/GetLatestReport", Code::Ok),
        (&known, "secret-canary", "/epro.v1.EproService/GetLatestReport", Code::NotFound),
        (&known, "secret canary", "/epro.v1.EproService/GetLatestReport", Code::InvalidArgument),
        (&text("sender"), "p-1", "/epro.v1.EproService/GetLatestReport", Code::PermissionDenied),
        ("secret-canary", "p-1", "/epro.v1.EproService/GetLatestReport", Code::Unauthenticated),
        (&known, "p-1", "/epro.v1.EproService/secret-canary", Code::Unimplemented),
        (&known, "p-1", "/secret-canary/GetLatestReport", Code::Unimplemented),
        // Without a key nobody learns which methods there are.
        ("secret-canary", "p-1", "/no.Service/None", Code::Unauthenticated),
    ];
    let mut told = Vec::new();
    for (key, patient, path, expected) in cases {
        let trace = TraceParent::new();
        let mut request = by(key, of(patient));
        request.metadata_mut().insert("traceparent", trace.to_string().parse().unwrap());
        assert_eq!(code(&call(channel.clone(), path, request).await), expected, "{path} {patient}");
        told.push((trace, path.contains("Epro") && path.ends_with("Report"), expected));
    }
    drop((client, channel));
    let page = service.metrics();
    let output = service.stop_and_read();
    let spans = collector.spans();
    for (trace, served, expected) in &told {
        let name = name(*expected);
        let (grpc_service, method) =
            if *served { (SERVICE, "GetLatestReport") } else { ("unmatched", "unmatched") };
        let lines: Vec<Value> = output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let of_it = |line: &&Value| line["message"] == "call" && line["trace_id"] == *trace.trace_id;
        let found: Vec<_> = lines.iter().filter(of_it).collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        let fields = &found[0]["fields"];
        let values = ["grpc_code", "grpc_service", "grpc_method"].map(|key| fields[key].as_str().unwrap());
        assert_eq!(values, [name, grpc_service, method]);
        let of_it = spans.iter().filter(|span| hex(&span.trace_id) == trace.trace_id);
        let servers: Vec<_> = of_it.filter(|span| span.kind() == SpanKind::Server).collect();
        assert_eq!(servers.len(), 1, "{name}: {servers:#?}");
        assert_eq!(hex(&servers[0].parent_span_id), trace.span_id);
        assert_eq!(found[0]["span_id"], hex(&servers[0].span_id));
        assert_eq!(spans::text(servers[0], "rpc.system.name"), "grpc");
        assert_eq!(spans::text(servers[0], "rpc.response.status_code"), name);
        assert!(!*served || servers[0].name == format!("{SERVICE}/GetLatestReport"), "{}", servers[0].name);
        let failed = servers[0].status.as_ref().is_some_and(|status| status.code() == StatusCode::Error);
        assert_eq!(failed, *expected == Code::Unimplemented, "{name}");
        let alike = told.iter().filter(|(_, other, code)| (other, code) == (served, expected)).count();
        assert_eq!(counted(&page, name, grpc_service, method), alike as u64, "{name}");
    }
    assert!(!format!("{output}{spans:?}{}", page.text).contains("secret"));
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::NotFound => "NOT_FOUND",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Unimplemented => "UNIMPLEMENTED",
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_whatever_it_says() {
    let service = Site::new().start();
    let mut client = client(&service).await;
    for (bytes, expected) in [
        (32 * 1024, Code::Ok),
        (200_000, Code::InvalidArgument),
        (300_000, Code::ResourceExhausted),
        (3_000_000, Code::ResourceExhausted),
    ] {
        let outcome = client.submit_report(report("x".repeat(bytes))).await;
        assert_eq!(code(&outcome), expected, "{bytes}");
    }
}

/// Calls with these bytes as the body; tonic's own client would keep the time itself. Returns the code.
async fn raw_call(service: &Service, headers: &[(&'static str, &str)], body: &[u8]) -> Option<Code> {
    let path = format!("http://{}/{SERVICE}/GetLatestReport", service.grpc);
    let mut call = caller().post(path).header("content-type", "application/grpc").body(body.to_vec());
    for (name, value) in headers {
        call = call.header(*name, *value);
    }
    let answer = call.send().await.unwrap();
    // Without a message the status is in the head.
    answer.headers().get("grpc-status").map(|code| Code::from_bytes(code.as_bytes()))
}

/// Asks for the report of `p`.
const WHOLE: &[u8] = b"\0\0\0\0\x03\x0a\x01p";

#[tokio::test]
async fn the_callers_deadline_is_kept_and_one_that_cannot_be_read_is_refused() {
    let service = Site::new().start();
    for (time, expected) in [
        ("0n", Code::DeadlineExceeded),
        ("soon", Code::InvalidArgument),
        ("123456789n", Code::InvalidArgument),
        ("10S", Code::NotFound),
        ("99999999H", Code::NotFound),
    ] {
        assert_eq!(raw_call(&service, &[("grpc-timeout", time)], WHOLE).await, Some(expected), "{time}");
    }
}

/// A call of our service as frames.
fn frames(stream: u32, method: &str, message: Option<&[u8]>) -> Vec<u8> {
    call_frames(stream, &format!("/{SERVICE}/{method}"), message)
}

/// A call as frames: its head, and its message if it is to be whole.
fn call_frames(stream: u32, path: &str, message: Option<&[u8]>) -> Vec<u8> {
    // The content type of JSON is left out.
    let mut block = request("GET", path);
    block[0] = 0x83;
    block.extend(header("content-type", "application/grpc"));
    block.extend(header("te", "trailers"));
    let head = frame(HEADERS, END_HEADERS, stream, &block);
    let data = message.map(|message| frame(DATA, END_STREAM, stream, message));
    [head, data.unwrap_or_default()].concat()
}

#[test]
fn a_caller_that_leaves_is_told_of_once_as_cancelled() {
    let service = Site::new().with("APP_HTTP__BODY_TIMEOUT", "10m").start();
    let open = Http2::open(service.grpc);
    open.send(&frames(1, "SubmitReport", None)).unwrap();
    // When the second is answered, the first has begun.
    open.send(&frames(3, "GetLatestReport", Some(WHOLE))).unwrap();
    until_so("it has begun", || counted(&service.metrics(), "NOT_FOUND", SERVICE, "GetLatestReport") == 1);
    open.send(&frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes())).unwrap();
    until_so("it is counted", || counted(&service.metrics(), "CANCELLED", SERVICE, "SubmitReport") == 1);
    let lines = service.told("call", 2);
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn a_message_that_never_comes_is_given_up() {
    let service = Site::new().with("APP_HTTP__BODY_TIMEOUT", "300ms").start();
    let open = Http2::open(service.grpc);
    open.send(&frames(1, "SubmitReport", None)).unwrap();
    let labels = [("grpc_method", "SubmitReport"), ("side", "server")];
    until_so("it is given up", || service.metrics().sum(DURATION, &labels) == 1);
    assert_eq!(counted(&service.metrics(), "OK", SERVICE, "SubmitReport"), 0);
}

#[test]
fn a_question_after_health_that_never_comes_is_given_up_and_no_work() {
    // One request in flight raises the level within 300 ms.
    let site = Site::new().with("APP_HTTP__BODY_TIMEOUT", "1s").with("APP_DEGRADATION__IN_FLIGHT", "1");
    let service = site.start();
    let open = Http2::open(service.grpc);
    open.send(&call_frames(1, "/grpc.health.v1.Health/Check", None)).unwrap();
    let labels = [("grpc_method", "Check"), ("side", "server")];
    until_so("it is given up", || service.metrics().sum(DURATION, &labels) == 1);
    assert_eq!(counted(&service.metrics(), "OK", "grpc.health.v1.Health", "Check"), 0);
    let output = service.stop_and_read();
    assert!(!output.contains("level of degradation rises"), "{output}");
}

#[tokio::test]
async fn a_shed_call_says_that_it_is_no_failure_and_when_to_come_again() {
    let service = Site::new().start();
    pin(&service, "3");
    let mut client = client(&service).await;
    let shed = client.get_latest_report(of("p-1")).await.unwrap_err();
    assert_eq!(shed.code(), Code::Unavailable, "{shed:?}");
    assert_eq!(shed.get_details_error_info().unwrap().reason, "DEGRADED");
    assert!(shed.get_details_retry_info().unwrap().retry_delay.unwrap() >= Duration::from_secs(1));
    assert_eq!(code(&client.submit_report(report("x".to_owned())).await), Code::Ok, "it is never shed");
}

fn caller() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap()
}

#[tokio::test]
async fn another_protocol_is_refused_in_its_own_terms() {
    let service = Site::new().start();
    let path = format!("http://{}/{SERVICE}/GetLatestReport", service.grpc);
    for (method, content_type, expected) in
        [(http::Method::POST, "application/json", 415), (http::Method::GET, "application/grpc", 405)]
    {
        let call = caller().request(method, &path).header("content-type", content_type).body("{}");
        let answer = call.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers().get("grpc-status")), (expected, None));
    }
    let http_1 = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(raw::answers(service.grpc, http_1.as_bytes()).starts_with("HTTP/1.1 505"));
}

#[tokio::test]
async fn a_request_that_does_not_arrive_whole_or_twice_is_refused_and_does_no_harm() {
    let service = Site::new().start();
    let cases: [(&str, &[u8]); 5] = [
        ("nothing at all", b""),
        ("a cut-off head", b"\0\0"),
        ("a cut-off message", b"\0\0\0\0\x09\x0a"),
        ("no protobuf", b"\0\0\0\0\x01\xff"),
        ("two messages", &WHOLE.repeat(2)),
    ];
    for (what, bytes) in cases {
        let status = raw_call(&service, &[], bytes).await;
        assert!(!matches!(status, None | Some(Code::Ok | Code::NotFound)), "{what}: {status:?}");
    }
    assert_eq!(code(&client(&service).await.get_latest_report(of("p-1")).await), Code::NotFound);
}

#[tokio::test]
async fn calls_go_over_tls() {
    let certificate = Certificate::new();
    let service = Site::new().encrypted("GRPC", &certificate).0.start();
    let tls =
        ClientTlsConfig::new().ca_certificate(Root::from_pem(&certificate.chain)).domain_name("localhost");
    let channel = Channel::from_shared(format!("https://{}", service.grpc)).unwrap().tls_config(tls).unwrap();
    let mut caller = EproServiceClient::new(channel.connect().await.unwrap());
    assert_eq!(code(&caller.get_latest_report(of("p-1")).await), Code::NotFound);
    let plain = Channel::from_shared(format!("http://{}", service.grpc)).unwrap().connect_lazy();
    assert_ne!(code(&EproServiceClient::new(plain).get_latest_report(of("p-1")).await), Code::NotFound);
}

#[tokio::test]
async fn a_call_without_a_trace_begins_one_and_only_a_trusted_proxy_decides_what_is_sampled() {
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    for (proxies, flags) in [("", "-01"), ("127.0.0.0/8", "-00")] {
        let service = Site::new()
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
            .with("APP_LIMITS__TRUSTED_PROXIES", proxies)
            .start();
        let mut client = client(&service).await;
        let mut told = async |parent| {
            let answer = client.get_latest_report(with("traceparent", parent, of("p-1"))).await.unwrap_err();
            answer.metadata().get("traceparent").unwrap().to_str().unwrap().to_owned()
        };
        let continued = told(unsampled).await;
        assert!(continued.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{continued}");
        assert!(continued.ends_with(flags), "{continued}");
        assert!(!told("none").await.contains("0af7651916cd43dd8448eb211c80319c"));
    }
}

async fn next(watched: &mut tonic::Streaming<HealthCheckResponse>) -> Option<ServingStatus> {
    let next = timeout(chassis_test::PATIENCE, watched.message()).await.unwrap().unwrap();
    next.map(|told| told.status())
}

fn health(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn readiness_is_told_to_everybody_without_a_key_a_limit_a_line_or_a_span() {
    let collector = Collector::start(Behaviour::Accept);
    let site =
        with_keys(Site::new(), &[line("app", "read")]).exporting_to(&collector.endpoint()).limited("1", "1");
    let service = site.start();
    let mut client = HealthClient::new(channel(&service).await);
    for name in ["", SERVICE, "", SERVICE] {
        let told = client.check(health(name)).await.unwrap().into_inner();
        assert_eq!(told.status(), ServingStatus::Serving);
    }
    assert_eq!(code(&client.check(health("canary")).await), Code::NotFound);
    let mut unknown = client.watch(health("another")).await.unwrap().into_inner();
    assert_eq!(next(&mut unknown).await, Some(ServingStatus::ServiceUnknown));
    let page = service.metrics();
    assert_eq!(counted(&page, "OK", "grpc.health.v1.Health", "Check"), 4, "{}", page.text);
    drop((unknown, client));
    let output = service.stop_and_read();
    assert!(!output.contains(r#""message":"call""#), "{output}");
    assert!(collector.spans().iter().all(|span| !span.name.contains("Health")));
}

#[tokio::test]
async fn quiet_streams_last_and_at_sigterm_health_flips_before_the_listener_closes_and_ends_them() {
    let service = Site::new()
        .with("APP_SHUTDOWN__NOT_READY_FOR", "2s")
        .with("APP_HTTP__HEADER_TIMEOUT", "300ms")
        .with("APP_HTTP__HANDLER_TIMEOUT", "300ms")
        .start();
    let mut watched =
        HealthClient::new(channel(&service).await).watch(health("")).await.unwrap().into_inner();
    assert_eq!(next(&mut watched).await, Some(ServingStatus::Serving));
    let (mut reflecting, asking) = reflect(&service, "").await.unwrap();
    // Longer than handlers take and connections idle.
    tokio::time::sleep(Duration::from_secs(1)).await;
    asking.send(list()).await.unwrap();
    assert!(reflecting.message().await.unwrap().is_some());
    service.signal(Signal::TERM);
    assert_eq!(next(&mut watched).await, Some(ServingStatus::NotServing));
    // New connections are still taken, and told the same.
    let told = HealthClient::new(channel(&service).await).check(health("")).await.unwrap().into_inner();
    assert_eq!(told.status(), ServingStatus::NotServing);
    assert_eq!(next(&mut watched).await, None);
    let ended = timeout(chassis_test::PATIENCE, reflecting.message()).await.unwrap();
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    let begun = std::time::Instant::now();
    let (exit, output) = tokio::task::spawn_blocking(|| service.ended()).await.unwrap();
    assert_eq!(exit, 0, "{output}");
    assert!(begun.elapsed() < Duration::from_secs(5), "a stream held up the stop");
}

type Reflecting = tonic::Streaming<tonic_reflection::pb::v1::ServerReflectionResponse>;

fn list() -> ServerReflectionRequest {
    let list = MessageRequest::ListServices(String::new());
    ServerReflectionRequest { message_request: Some(list), ..Default::default() }
}

/// Asks for the services, and returns the answer and what keeps asking.
async fn reflect(
    service: &Service,
    key: &str,
) -> Result<(Reflecting, tokio::sync::mpsc::Sender<ServerReflectionRequest>), Status> {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(list()).await.unwrap();
    let asked =
        futures_util::stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    let mut client = ServerReflectionClient::new(channel(service).await);
    let mut answers = client.server_reflection_info(by(key, asked)).await?.into_inner();
    let answer = answers.message().await?.unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(listed) = answer else { panic!("{answer:?}") };
    let mut names: Vec<_> = listed.service.into_iter().map(|service| service.name).collect();
    names.retain(|name| !name.contains("v1alpha"));
    names.sort();
    assert_eq!(names, [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]);
    Ok((answers, sender))
}

#[tokio::test]
async fn what_is_served_describes_itself_to_who_has_a_key() {
    let service = with_keys(Site::new(), &[line("app", "send")]).start();
    assert!(reflect(&service, &text("app")).await.is_ok());
    let refused = reflect(&service, "wrong").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
}
