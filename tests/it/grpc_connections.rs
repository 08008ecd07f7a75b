//! What comes to gRPC's port without being a call, slow and broken requests, and TLS.

use crate::support::{
    certificates::{Certificate, files},
    grpc::{SERVICE, Server, Setup, code, get},
    http::{Answer, read_to_end},
    seen::Seen,
};
use bytes::Bytes;
use epro_notify::{platform::grpc::codes, proto::epro::epro_service_client::EproServiceClient};
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode, Version, header};
use http_body::Frame;
use http_body_util::StreamBody;
use std::convert::Infallible;
use tokio::io::AsyncWriteExt;
use tonic::{
    Code,
    transport::{Certificate as Root, Channel, ClientTlsConfig},
};

const DURATION: &str = "grpc_request_duration_seconds_count";

#[tokio::test]
async fn another_protocol_is_refused_in_its_own_terms_and_counted_once() {
    for (method, content_type, expected) in [
        (Method::POST, "application/json", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (Method::GET, "application/grpc", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let seen = Seen::begin();
        let server = Setup::new().start().await;
        let caller = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
        let path = format!("http://{}/{SERVICE}/GetLatestReport", server.address);
        let call = caller.request(method, path).header(header::CONTENT_TYPE, content_type).body("{}");
        let answer = call.send().await.unwrap();
        assert_eq!((answer.status(), answer.version()), (expected, Version::HTTP_2));
        assert_eq!(answer.headers().get("grpc-status"), None);
        drop((answer, caller));
        server.stop().await;
        assert_eq!(seen.metric(DURATION, &["grpc_code=\"UNKNOWN\""]), 1.0);
        assert_eq!((seen.lines().len(), seen.spans().len()), (1, 1));
    }
}

#[tokio::test]
async fn http_1_is_told_that_this_is_not_its_port() {
    let seen = Seen::begin();
    let server = Setup::new().start().await;
    for request in [
        "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".to_owned(),
        format!(
            "POST /{SERVICE}/GetLatestReport HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0"
        ),
    ] {
        let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Answer::parse(&read_to_end(&mut stream).await).status, 505);
    }
    server.stop().await;
    for method in ["unmatched", "GetLatestReport"] {
        assert_eq!(seen.metric(DURATION, &[&format!("grpc_method=\"{method}\"")]), 1.0);
    }
}

/// A call whose message is these bytes, and then its end or nothing at all; the code that is answered.
async fn sends(server: &Server, bytes: &'static [u8], ends: bool) -> Code {
    let sent = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(bytes)))]);
    let body = if ends {
        reqwest::Body::wrap(StreamBody::new(sent))
    } else {
        reqwest::Body::wrap(StreamBody::new(sent.chain(stream::pending())))
    };
    let caller = reqwest::Client::builder().no_proxy().http2_prior_knowledge().build().unwrap();
    let path = format!("http://{}/{SERVICE}/GetLatestReport", server.address);
    let call = caller.post(path).header(header::CONTENT_TYPE, "application/grpc").body(body);
    let answer = call.send().await.unwrap();
    Code::from_bytes(answer.headers()["grpc-status"].as_bytes())
}

#[tokio::test]
async fn a_request_that_does_not_arrive_whole_is_given_up_and_does_no_harm() {
    let slow = (false, Code::Cancelled);
    let cases: [(&[u8], _); 5] = [
        (b"\0\0\0\0\x03\x0a\x01p", slow),
        (b"\0\0", slow),
        (b"\0\0\0\0\x09\x0a", (true, Code::Internal)),
        (b"\0\0\0\0\x01\xff", (true, Code::Internal)),
        // It says that it will be too large, and is not waited for.
        (b"\0\x7f\0\0\0", (false, Code::ResourceExhausted)),
    ];
    for (bytes, (ends, expected)) in cases {
        let seen = Seen::begin();
        let server = Setup::new().start().await;
        assert_eq!(sends(&server, bytes, ends).await, expected, "{bytes:?}");
        assert_eq!(code(&server.client().await.get_latest_report(get("report")).await), Code::Ok);
        server.stop().await;
        let code = format!("grpc_code=\"{}\"", codes::name(expected));
        assert_eq!(seen.metric(DURATION, &[&code]), 1.0);
        assert_eq!((seen.lines().len(), seen.spans().len()), (2, 2));
    }
}

#[tokio::test]
async fn calls_go_over_tls() {
    let (seen, folder) = (Seen::begin(), tempfile::tempdir().unwrap());
    let files = files(folder.path());
    let certificate = Certificate::new();
    certificate.write(&files);
    let server = Setup { tls: Some(files.clone()), ..Setup::new() }.start().await;
    let tls =
        ClientTlsConfig::new().ca_certificate(Root::from_pem(&certificate.chain)).domain_name("localhost");
    let channel =
        Channel::from_shared(format!("https://{}", server.address)).unwrap().tls_config(tls).unwrap();
    let mut caller = EproServiceClient::new(channel.connect().await.unwrap());
    assert_eq!(code(&caller.get_latest_report(get("report")).await), Code::Ok);
    let plain = Channel::from_shared(format!("http://{}", server.address)).unwrap().connect_lazy();
    assert_ne!(code(&EproServiceClient::new(plain).get_latest_report(get("report")).await), Code::Ok);
    drop(caller);
    server.stop().await;
    assert_eq!(seen.metric(DURATION, &["grpc_code=\"OK\""]), 1.0);
}
