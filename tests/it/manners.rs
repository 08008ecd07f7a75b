//! What browsers and proxies are told: HEAD, OPTIONS, caching, CORS, compression.

use crate::support::{
    http::{Answer, Server, config, post, read_to_end},
    process::{Process, ask},
};
use epro_notify::platform::{config::Reader, http::HttpConfig};
use std::io::Read;
use tokio::{io::AsyncWriteExt, net::TcpStream};

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
}

/// A server whose pages of these origins may be called by.
async fn serving(origins: &str) -> Server {
    let read = HttpConfig::read(&mut Reader::for_tests(&[("http.cors_origins", origins)]), "127.0.0.1:0");
    let mut config = config();
    config.cors_origins = read.cors_origins;
    Server::start(config).await
}

#[tokio::test]
async fn head_is_answered_as_get_without_the_body() {
    let server = Server::start(config()).await;
    for path in ["/things/1", "/list", "/page", "/nowhere", "/slow"] {
        for headers in ["", "Accept-Encoding: gzip\r\n"] {
            let request = get(path, headers);
            let (get, head) = (
                server.ask_bytes(&request).await,
                server.ask_bytes(&request.replacen("GET", "HEAD", 1)).await,
            );
            assert_eq!((head.status, head.body.len()), (get.status, 0), "{path}");
            let names =
                ["content-length", "content-type", "content-encoding", "etag", "cache-control", "vary"];
            for name in names {
                assert_eq!(head.header(name), get.header(name), "{path}: {name}");
            }
            let length = get.header("content-length").unwrap();
            assert_eq!(length, get.body.len().to_string(), "{path}");
        }
    }
}

#[tokio::test]
async fn options_and_405_tell_what_is_served() {
    let server = Server::start(config()).await;
    for (path, allow) in
        [("/things/1", "GET, HEAD, OPTIONS"), ("/things", "OPTIONS, POST"), ("/page", "GET, HEAD, OPTIONS")]
    {
        let options = server.ask(&format!("OPTIONS {path} HTTP/1.1\r\n\r\n")).await;
        assert_eq!((options.status, options.header("allow")), (204, Some(allow)), "{path}");
        assert_eq!(options.body, "");
        for method in ["PATCH", "TRACE", "BREW"] {
            let refused = server.ask(&format!("{method} {path} HTTP/1.1\r\n\r\n")).await;
            assert_eq!((refused.status, refused.header("allow")), (405, Some(allow)), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn no_answer_is_kept_or_guessed_at_but_a_page_that_says_so() {
    let server = Server::start(config()).await;
    let requests = crate::http_answers::cases().into_iter().map(|(request, ..)| request);
    for request in requests.chain([get("/list", "")]) {
        let answer = server.ask(&request).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{request}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{request}");
        assert_eq!(answer.header("strict-transport-security"), None, "{request}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{request}");
    }
    let page = server.ask(&get("/page", "")).await;
    assert_eq!(page.header("cache-control"), Some("public, max-age=300"));
    let etag = page.header("etag").unwrap();
    let again = server.ask(&get("/page", &format!("If-None-Match: {etag}\r\n"))).await;
    assert_eq!((again.status, again.header("etag"), again.body.as_str()), (304, Some(etag), ""));
    assert_eq!(again.header("x-content-type-options"), Some("nosniff"));
}

#[tokio::test]
async fn what_is_long_is_compressed_for_those_who_take_it() {
    let server = Server::start(config()).await;
    for path in ["/list", "/page"] {
        let plain = server.ask_bytes(&get(path, "")).await;
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), (None, Some("accept-encoding")));
        let small = server.ask_bytes(&get(path, "Accept-Encoding: br, gzip;q=0.5\r\n")).await;
        assert_eq!(small.header("content-encoding"), Some("gzip"), "{path}");
        assert_eq!(small.header("vary"), Some("accept-encoding"));
        assert!(small.body.len() < plain.body.len() / 5);
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&*small.body).read_to_end(&mut text).unwrap();
        assert!(text == plain.body, "{path}");
        let refused = server.ask_bytes(&get(path, "Accept-Encoding: gzip;q=0\r\n")).await;
        assert_eq!(refused.header("content-encoding"), None);
    }
    let short = server.ask(&get("/things/1", "Accept-Encoding: gzip\r\n")).await;
    assert_eq!((short.header("content-encoding"), short.header("vary")), (None, None));
}

#[tokio::test]
async fn a_page_of_a_listed_origin_may_call_and_read_even_errors() {
    let server = serving("https://a.example, http://localhost:3000").await;
    let origin = "Origin: https://a.example\r\n";
    for request in crate::http_answers::cases().into_iter().map(|(request, ..)| request) {
        if request.starts_with("OPTIONS") {
            continue;
        }
        let answer = server.ask(&request.replacen("\r\n", &format!("\r\n{origin}"), 1)).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.example"), "{request}");
        assert_eq!(answer.header("vary"), Some("origin"), "{request}");
        assert!(answer.header("access-control-expose-headers").unwrap().contains("retry-after"), "{request}");
        assert_eq!(answer.header("access-control-allow-credentials"), None, "{request}");
    }
    let other = server.ask(&get("/things/1", "Origin: https://b.example\r\n")).await;
    assert_eq!((other.status, other.header("access-control-allow-origin")), (200, None));
    assert_eq!(other.header("vary"), Some("origin"));
    let page = server.ask(&get("/page", origin)).await;
    assert_eq!(page.headers("vary"), ["accept-encoding", "origin"]);
}

#[tokio::test]
async fn a_preflight_is_told_what_may_be_sent() {
    let asked = "Origin: https://a.example\r\nAccess-Control-Request-Method: POST\r\n\
                 Access-Control-Request-Headers: authorization,content-type,idempotency-key\r\n";
    let preflight = format!("OPTIONS /things HTTP/1.1\r\n{asked}\r\n");
    for (origins, told) in [("https://a.example", Some("https://a.example")), ("*", Some("*")), ("", None)] {
        let answer = serving(origins).await.ask(&preflight).await;
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("access-control-allow-origin"), told);
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods, told.map(|_| "OPTIONS, POST"));
        let headers = answer.header("access-control-allow-headers").unwrap_or_default();
        for header in ["authorization", "content-type", "idempotency-key", "traceparent"] {
            assert_eq!(headers.contains(header), told.is_some(), "{header}");
        }
        assert_eq!(answer.header("access-control-max-age"), told.map(|_| "7200"));
    }
}

#[test]
fn the_type_of_a_problem_leads_to_what_it_means() {
    let service = Process::start(&[]);
    let problem = ask(service.http, "/nowhere").unwrap().json();
    let page = ask(service.http, problem["type"].as_str().unwrap()).unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert!(page.body.starts_with("/problems/not-found (404): "), "{page:?}");
    assert_eq!(page.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(ask(service.http, "/problems/none").unwrap().status, 404);
}

/// Request lines that are strange, or no request at all, and what they come to.
const STRANGE: &[(&str, u16)] = &[
    ("GET /things/1/ HTTP/1.1", 404),
    ("GET //things/1 HTTP/1.1", 404),
    ("GET /things//1 HTTP/1.1", 404),
    ("GET /./things/1 HTTP/1.1", 404),
    ("GET /x/../things/1 HTTP/1.1", 404),
    ("GET /%74hings/1 HTTP/1.1", 404),
    ("GET /things%2F1 HTTP/1.1", 404),
    ("GET /things/a%2Fb HTTP/1.1", 200),
    ("GET /things/%31?x=%zz#frag HTTP/1.1", 200),
    ("GET /things/%00 HTTP/1.1", 200),
    ("GET http://elsewhere.example/things/1 HTTP/1.1", 200),
    ("GET http://elsewhere.example HTTP/1.1", 404),
    ("GET * HTTP/1.1", 404),
    ("OPTIONS * HTTP/1.1", 404),
    ("CONNECT elsewhere.example:443 HTTP/1.1", 404),
    ("CONNECT /things/1 HTTP/1.1", 405),
    ("TRACE / HTTP/1.1", 404),
    ("TRACE /things/1 HTTP/1.1", 405),
    ("GET things/1 HTTP/1.1", 400),
    ("GET /things/1\u{7f} HTTP/1.1", 400),
    ("G(T /things/1 HTTP/1.1", 400),
    ("GET /things/1 HTTP/1.1 x", 400),
    ("GET /things/1 HTTP/3.7", 400),
    ("GET  /things/1 HTTP/1.1", 400),
];

#[tokio::test]
async fn a_strange_request_gets_a_clear_answer() {
    let server = Server::start(config()).await;
    for (line, status) in STRANGE {
        let answer = server.ask(&format!("{line}\r\n\r\n")).await;
        assert_eq!(answer.status, *status, "{line}: {answer:?}");
        // What is no HTTP is answered by the library, without a body.
        if *status > 400 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{line}");
        }
    }
}

#[tokio::test]
async fn a_caller_that_asks_before_it_sends_is_told_to_go_on_or_why_not() {
    let server = Server::start(config()).await;
    let body = r#"{"name":"n"}"#;
    let head = |path: &str, length: usize| {
        post(path, "").replacen("Content-Length: 0", &format!("Content-Length: {length}"), 1).replacen(
            "\r\n",
            "\r\nHost: test\r\nExpect: 100-continue\r\n",
            1,
        )
    };
    let mut stream = server.connect().await;
    stream.write_all(head("/things", body.len()).as_bytes()).await.unwrap();
    assert_eq!(first_line(&mut stream).await, "HTTP/1.1 100 Continue");
    stream.write_all(body.as_bytes()).await.unwrap();
    assert_eq!(first_line(&mut stream).await, "HTTP/1.1 202 Accepted");
    for (path, length, status) in [("/nowhere", 9, 404), ("/things", 70_000, 413), ("/things/1", 9, 405)] {
        let mut stream = server.connect().await;
        stream.write_all(head(path, length).as_bytes()).await.unwrap();
        // Nothing of the body was sent, so that the connection ends after this.
        let answer = Answer::parse(&read_to_end(&mut stream).await);
        assert_eq!(answer.status, status, "{path}");
    }
}

/// The first line of what comes next, which comes in one piece.
async fn first_line(stream: &mut TcpStream) -> String {
    use tokio::io::AsyncReadExt;
    let mut piece = vec![0; 4096];
    let read =
        tokio::time::timeout(crate::support::http::LONG, stream.read(&mut piece)).await.unwrap().unwrap();
    String::from_utf8_lossy(&piece[..read]).lines().next().unwrap_or_default().to_owned()
}
