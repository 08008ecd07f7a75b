//! The rate limit of the real program over real sockets, at 50 a second and bursts of 100.

use crate::{
    grpc,
    support::{
        keys::{ask_by, line, text, with_keys},
        prelude::*,
    },
};
use chassis_test::{
    client::ask_raw,
    raw,
    spans::{hex, integer},
};
use std::{
    io::Write,
    net::IpAddr,
    thread::{scope, sleep, spawn},
    time::{Duration, Instant},
};
use tonic::Code;
use tonic_types::StatusExt;

const RATE: f64 = 50.0;
const BURST: f64 = 100.0;
/// Nothing is there: being let in is all that it costs.
const PATH: &str = "/api/v1/nothing";

fn site() -> Site {
    Site::new().limited("50", "100")
}

fn connect(service: &Service, client: u8) -> Connection {
    Connection::open_from(IpAddr::from([127, 0, 0, client]), service.http).unwrap()
}

fn get(connection: &mut Connection, headers: &[(&str, &str)]) -> Answer {
    connection.send_with("GET", PATH, headers, "").unwrap()
}

/// A request that was let in: it was counted at some time between these.
type Admitted = (Instant, Instant);

/// Asks this often, each time with another header, and tells what was let in.
fn ask_often(
    connection: &mut Connection,
    times: usize,
    mut forged: impl FnMut(usize) -> String,
) -> Vec<Admitted> {
    let mut ask = |number| {
        let sent = Instant::now();
        let answer = get(connection, &[("x-forwarded-for", &forged(number))]);
        let admitted = answer.status != 429;
        assert_eq!(answer.header("retry-after").is_some(), !admitted, "{answer:?}");
        admitted.then(|| (sent, Instant::now()))
    };
    (0..times).filter_map(&mut ask).collect()
}

/// Fails if a window surely held more than burst + rate × T. What was sent and answered within two moments was
/// counted between them.
fn assert_within_the_limit(mut admitted: Vec<Admitted>) {
    admitted.sort_unstable_by_key(|(_, heard)| *heard);
    for (from, _) in &admitted {
        let within = admitted.iter().filter(|(sent, _)| sent >= from);
        for (count, (_, until)) in (1..).zip(within) {
            // The service's clock is another one, and goes a few millionths faster or slower.
            let most = BURST + RATE * (*until - *from).as_secs_f64() * 1.000_1;
            assert!(f64::from(count) <= most, "{count} in a window of {most}");
        }
    }
}

#[test]
fn no_window_holds_more_than_burst_and_rate_however_a_client_sends() {
    let service = site().start();
    let connections: Vec<_> = (0..4).map(|_| connect(&service, 1)).collect();
    let admitted = scope(|scope| {
        let sender = |mut connection| scope.spawn(move || ask_often(&mut connection, 500, |_| String::new()));
        let senders: Vec<_> = connections.into_iter().map(sender).collect();
        senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(admitted.len() as f64 >= BURST, "{}", admitted.len());
    let page = service.metrics();
    let decisions = |decision| {
        page.sum("rate_limit_decisions_total", &[("decision", decision), ("surface", "http")]) as usize
    };
    assert_eq!((decisions("allowed"), decisions("limited")), (admitted.len(), 2000 - admitted.len()));
    assert_within_the_limit(admitted);
    assert_eq!(page.sum("rate_limit_decisions_total", &[("surface", "grpc")]), 0);
}

#[test]
fn ten_thousand_forged_headers_gain_nothing() {
    let service = site().start();
    let forged = |number: usize| format!("10.{}.{}.1", number >> 8, number & 255);
    assert_within_the_limit(ask_often(&mut connect(&service, 1), 10_000, forged));
    assert_eq!(service.metrics().sum("rate_limit_clients", &[]), 1);
}

#[test]
fn an_even_client_below_the_rate_is_never_refused() {
    let service = site().start();
    let mut connection = connect(&service, 1);
    // Its burst is spent, so that the rate alone is what it has.
    let spent = until_refused(&mut connection);
    sleep(Duration::from_secs(spent));
    while get(&mut connection, &[]).header("x-ratelimit-remaining") != Some("0") {}
    for turn in 0..100 {
        // 90 % of the rate, counted from answer to question.
        sleep(Duration::from_secs_f64(1.0 / (0.9 * RATE)));
        assert_eq!(get(&mut connection, &[]).status, 404, "{turn}");
    }
}

/// Asks until it is refused, and gives the seconds to wait.
fn until_refused(connection: &mut Connection) -> u64 {
    loop {
        let answer = get(connection, &[]);
        if answer.status == 429 {
            return answer.problem(429, "rate-limited").unwrap();
        }
    }
}

#[test]
fn whoever_waits_as_long_as_it_is_told_is_let_in() {
    let site = site().limited("1", "2");
    let service = site.start();
    let mut connection = connect(&service, 1);
    for _ in 0..3 {
        let wait = until_refused(&mut connection);
        assert!(wait >= 1);
        sleep(Duration::from_secs(wait));
        assert_eq!(get(&mut connection, &[]).status, 404);
    }
    // Then nobody calls, and nobody is remembered.
    until_so("it is forgotten", || service.metrics().sum("rate_limit_clients", &[]) == 0);
}

#[test]
fn a_greedy_client_does_not_harm_another() {
    let service = site().start();
    let (mut greedy, mut modest) = (connect(&service, 1), connect(&service, 2));
    until_refused(&mut greedy);
    for _ in 0..50 {
        get(&mut greedy, &[]);
        assert_eq!(get(&mut modest, &[]).status, 404);
    }
}

#[test]
fn behind_a_trusted_proxy_each_hop_is_a_client_of_its_own() {
    let site = site().with("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.1/32").limited("1", "5");
    let service = site.start();
    let (mut proxy, mut stranger) = (connect(&service, 1), connect(&service, 2));
    let told = |connection: &mut Connection, hops: &str| get(connection, &[("x-forwarded-for", hops)]).status;
    for turn in 0..20 {
        assert_eq!(told(&mut proxy, &format!("192.0.2.1, 198.51.100.{turn}")), 404);
    }
    let spent = (0..20).map(|turn| told(&mut proxy, &format!("203.0.113.{turn}, 192.0.2.7")));
    assert!(spent.filter(|status| *status == 429).count() >= 10, "what stands to the left gains nothing");
    let spent = (0..20).map(|turn| told(&mut stranger, &format!("192.0.2.{turn}")));
    assert!(spent.filter(|status| *status == 429).count() >= 10, "no proxy of ours");
    let forwarded =
        (0..20).map(|turn| get(&mut proxy, &[("forwarded", &format!("for=192.0.2.{turn}"))]).status);
    assert!(forwarded.filter(|status| *status == 429).count() >= 10, "the other header is never believed");
}

#[test]
fn the_admin_listener_is_never_limited() {
    let site = site().limited("1", "1");
    let service = site.start();
    until_refused(&mut connect(&service, 1));
    let mut admin = Connection::open(service.admin).unwrap();
    for _ in 0..50 {
        let answer = admin.send("GET", "/livez", "").unwrap();
        assert_eq!((answer.status, answer.header("x-ratelimit-limit")), (200, None));
    }
}

#[test]
fn every_answer_tells_the_limit_and_a_refusal_is_a_problem_told_once() {
    let collector = Collector::start(Behaviour::Accept);
    let site = Site::new().limited("1", "3");
    let service = site.exporting_to(&collector.endpoint()).start();
    let cases = [("GET", "/nowhere", "", 404), ("POST", ASYNC, MESSAGE, 202), ("POST", ASYNC, "{", 400)];
    for (left, (method, path, body, status)) in ["2", "1", "0"].into_iter().zip(cases) {
        let answer = service.ask(method, path, body);
        assert_eq!(answer.status, status, "{answer:?}");
        let told = ["x-ratelimit-limit", "x-ratelimit-remaining"].map(|name| answer.header(name));
        assert_eq!(told, [Some("3"), Some(left)], "{answer:?}");
    }
    let refused = service.ask("POST", ASYNC, MESSAGE);
    assert_eq!(refused.problem(429, "rate-limited"), Some(1), "{refused:?}");
    assert_eq!(refused.header("x-ratelimit-limit"), Some("3"));
    let decisions = |decision| {
        let labels = [("decision", decision), ("surface", "http")];
        service.metrics().sum("rate_limit_decisions_total", &labels)
    };
    assert_eq!((decisions("allowed"), decisions("limited")), (3, 1));
    let counted = service.metrics().sum("http_request_duration_seconds_count", &[("status", "429")]);
    assert_eq!((counted, service.until_drained().of("accepted")), (1, 1));
    let trace = refused.trace_id();
    let output = service.stop_and_read();
    let told = |line: &&str| line.contains(&trace) && line.contains(r#""message":"request""#);
    assert_eq!(output.lines().filter(told).count(), 1);
    let spans = collector.spans();
    let spans: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == trace).collect();
    assert!(spans.len() == 1 && integer(spans[0], "http.response.status_code") == 429, "{spans:#?}");
}

#[test]
fn a_refused_callers_body_is_not_waited_for() {
    let site = Site::new().limited("1", "1");
    let service = site.start();
    service.get("/nowhere");
    let head =
        "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue";
    let answer = ask_raw(service.http, &format!("POST {ASYNC} HTTP/1.1\r\n{head}\r\n\r\n"));
    assert_eq!(answer.unwrap().status, 429);
}

#[tokio::test]
async fn http_and_grpc_calls_of_one_client_draw_on_one_bucket() {
    let site = Site::new().limited("1", "20");
    let service = with_keys(site, &[line("app", "read"), line("other", "read")]).start();
    let by = |key| ask_by(service.http, &text(key), "GET", PATH, "");
    for _ in 0..10 {
        assert_eq!(by("app").status, 404);
    }
    let mut client = grpc::client(&service).await;
    let mut codes = Vec::new();
    for _ in 0..15 {
        codes.push(client.get_latest_report(grpc::by(&text("app"), grpc::of("p-1"))).await.unwrap_err());
    }
    let allowed = codes.iter().filter(|status| status.code() == Code::NotFound).count();
    // A second or two may have passed, and each has brought one back.
    assert!((10..=13).contains(&allowed), "{allowed}");
    let refused = codes.last().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let after = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(after > Duration::ZERO && after <= Duration::from_secs(2), "{refused:?}");
    assert_eq!(by("app").status, 429);
    assert_eq!(by("other").status, 404, "another client is not affected");
    let limited =
        service.metrics().sum("rate_limit_decisions_total", &[("decision", "limited"), ("surface", "grpc")]);
    assert_eq!(limited, 15 - allowed as u64);
}

/// As many as a hermetic test has time for; each is a client of its own. In memory they cost as much as any others.
const FLOOD: usize = 40_000;

#[test]
fn a_flood_of_clients_is_forgotten_again() {
    let service = Site::new()
        .with("APP_LIMITS__TRUSTED_PROXIES", "127.0.0.0/8")
        .with("APP_LIMITS__CLEANUP_INTERVAL", "1s")
        .limited("1", "1")
        .start();
    let quiet = service.resident();
    scope(|scope| {
        for sender in 0..4 {
            let http = service.http;
            scope.spawn(move || {
                let mut stream = raw::connect(http);
                let mut answers = stream.try_clone().unwrap();
                let reading = spawn(move || raw::rest(&mut answers).len());
                for number in (sender..FLOOD).step_by(4) {
                    let [_, a, b, c] = (number as u32).to_be_bytes();
                    let last = if number + 4 >= FLOOD { "Connection: close\r\n" } else { "" };
                    let head = format!("Host: localhost\r\nX-Forwarded-For: 10.{a}.{b}.{c}\r\n{last}");
                    write!(stream, "GET /x HTTP/1.1\r\n{head}\r\n").unwrap();
                }
                assert!(reading.join().unwrap() > FLOOD);
            });
        }
    });
    let page = service.metrics();
    assert_eq!(
        page.sum("rate_limit_decisions_total", &[("decision", "allowed")]),
        FLOOD as u64,
        "one client each"
    );
    let clients = || service.metrics().sum("rate_limit_clients", &[]);
    until_so("all are forgotten", || clients() == 0);
    let grown = service.resident().saturating_sub(quiet);
    println!("{FLOOD} clients: {} KiB stay", grown / 1024);
    assert!(grown < 48 * 1024 * 1024, "{grown} bytes more");
}
