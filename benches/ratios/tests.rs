//! The tests of the bench's parts. They stand here because a bench without a harness can't run its own.

#![expect(dead_code, reason = "the parts are compiled without the run that uses the rest of them")]
#![expect(
    clippy::disallowed_methods,
    reason = "the bench blocks its threads on purpose, and has no spans to lose"
)]
#![expect(clippy::expect_used, reason = "the server of the tests is a test's part too")]

mod account;
mod histogram;
mod http;
mod load;
mod machine;
mod options;
mod repeat;
mod report;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use account::{Account, value};
use clap::Parser;
use histogram::{Histogram, median};
use http::{Response, parse, request};
use load::{Asks, Load};
use options::{Options, Scenario};
use proptest::prelude::*;
use repeat::{Repeated, repeat_after};
use report::{Goal, Report, Row, Verdict};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[test]
fn quantiles_are_within_two_percent() {
    let mut histogram = Histogram::new();
    for value in 1..=100_000 {
        histogram.record(value * 100);
    }
    for (share, exact) in [(0.5, 5_000_000.0), (0.99, 9_900_000.0), (1.0, 10_000_000.0)] {
        let told = histogram.quantile(share) as f64;
        assert!((told / exact - 1.0).abs() < 0.02, "{share}: {told} instead of {exact}");
    }
}

#[test]
fn an_empty_histogram_has_no_latency_and_a_huge_one_does_not_panic() {
    let mut histogram = Histogram::new();
    assert_eq!(histogram.quantile(0.99), 0);
    histogram.record(u64::MAX);
    assert!(histogram.quantile(0.5) >= 1 << 40);
}

#[test]
fn the_median_of_an_even_number_is_the_mean_of_the_middle_two() {
    assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
    assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    assert_eq!(median([f64::NAN, f64::INFINITY]), None);
    assert_eq!(median([]), None);
}

#[test]
fn a_response_is_complete_only_with_its_last_byte() {
    let text = b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
    for length in 0..text.len() {
        assert_eq!(parse(&text[..length]), Response::Partial, "{length} bytes");
    }
    assert_eq!(parse(text), Response::Complete { status: 202, head: 50, length: 55 });
}

#[test]
fn a_body_without_a_length_is_empty_and_a_chunked_one_is_refused() {
    let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(parse(empty), Response::Complete { status: 204, head: 27, length: 27 });
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"), Response::Malformed);
    assert_eq!(parse(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"), Response::Malformed);
    assert_eq!(parse(b"HTTP/1.1 abc OK\r\n\r\n"), Response::Malformed);
    let endless = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", usize::MAX);
    assert_eq!(parse(endless.as_bytes()), Response::Malformed);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parsers_panic(bytes: Vec<u8>, text: String) {
        parse(&bytes);
        let mut head = b"HTTP/1.1 200 OK\r\n".to_vec();
        head.extend(bytes);
        head.extend(b"\r\n\r\n");
        parse(&head);
        value(&text, "a", &[("b", "c")]);
        machine::parse_stat(&text);
        machine::parse_busy(&text);
        Account::read(&text);
    }

    #[test]
    fn a_quantile_never_falls_below_the_smallest_value(values in prop::collection::vec(0_u64..1 << 40, 1..50)) {
        let mut histogram = Histogram::new();
        values.iter().for_each(|value| histogram.record(*value));
        let (smallest, largest) = (values.iter().min(), values.iter().max());
        prop_assert!(Some(&histogram.quantile(0.0)) >= smallest);
        prop_assert!(Some(&histogram.quantile(1.0)) >= largest);
        prop_assert!(histogram.quantile(0.5) <= histogram.quantile(0.99));
    }
}

/// A server that answers each of its connections byte by byte, and closes one after `answers`.
fn slow_server(answer: &'static [u8], answers: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.expect("a connection");
                stream.set_nodelay(true).expect("a socket");
                let mut asked = [0; 4096];
                for _ in 0..answers {
                    if stream.read(&mut asked).unwrap_or(0) == 0 {
                        return;
                    }
                    for byte in answer {
                        stream.write_all(&[*byte]).expect("a reader");
                        thread::yield_now();
                    }
                }
            });
        }
    });
    address
}

#[test]
fn every_request_is_answered_once_though_answers_come_in_pieces() {
    let address = slow_server(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok", usize::MAX);
    let mut load = Load::open(address, 3, request("POST", "/", "{}")).expect("connections");
    let outcome = load.run(Duration::from_secs(60), 50).expect("answers");
    assert_eq!((outcome.answered, outcome.refused, outcome.broken), (50, 0, 0));
    assert!(load.at_rest());
}

#[test]
fn other_answers_and_broken_connections_are_counted_apart() {
    let address = slow_server(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 2);
    let mut load = Load::open(address, 1, request("POST", "/", "{}")).expect("a connection");
    let outcome = load.run(Duration::from_secs(60), 6).expect("answers");
    assert_eq!(outcome.answered, 0);
    assert!(outcome.refused >= 4, "{}", outcome.refused);
    assert!(outcome.broken >= 1);
}

#[test]
fn the_load_goes_to_the_loopback_only() {
    assert!(Load::open("192.0.2.1:80".parse().expect("an address"), 1, Vec::new()).is_err());
}

#[test]
fn processes_with_odd_names_are_read() {
    let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 8 0 100 0 0";
    assert_eq!(machine::parse_stat(stat), Some((7, Duration::from_secs(3))));
    // Children that have ended still count as ours: else each of them would look like foreign load.
    assert!(machine::parse_whole(stat) >= Some(Duration::from_secs(3)));
    let with_children = "1 (x) S 7 0 0 0 0 0 0 0 0 0 100 200 30 4 0";
    assert_eq!(machine::parse_whole(with_children), Some(Duration::from_millis(3340)));
    assert_eq!(machine::parse_busy("cpu  100 10 20 999 5 6 7 70 0 0\ncpu0 1"), Some(Duration::from_secs(2)));
}

#[test]
fn series_are_summed_over_the_labels_that_are_not_asked_for() {
    let text = "# TYPE n counter\nn{a=\"x\",b=\"1\"} 2\nn{a=\"x\",b=\"2\"} 3\nn{a=\"y\",b=\"1\"} 5\nn_total 9\nm 4\n";
    assert_eq!(value(text, "n", &[("a", "x")]), Some(5.0));
    assert_eq!(value(text, "n", &[]), Some(10.0));
    assert_eq!(value(text, "m", &[]), Some(4.0));
    assert_eq!(value(text, "n", &[("a", "z")]), None);
}

#[test]
fn a_span_that_is_in_no_figure_shows_in_the_account() {
    let text = "telemetry_spans_ended_total 10\ntelemetry_spans_queued 1\n\
        telemetry_spans_total{outcome=\"exported\"} 5\ntelemetry_spans_total{outcome=\"failed\"} 2\n\
        telemetry_spans_total{outcome=\"dropped\"} 1\ntelemetry_log_lines_total{outcome=\"written\"} 7\n\
        telemetry_log_lines_total{outcome=\"dropped\"} 0\n";
    assert_eq!(Account::read(text).map(|account| account.spans_missing()), Some(1.0));
    assert_eq!(Account::read("telemetry_spans_ended_total 10\n"), None);
}

#[test]
fn disturbed_rounds_are_repeated_and_never_silently_kept() {
    let options = Options::parse_from(["bench", "--rounds", "2"]);
    let shares = [0.5, 0.0, 0.2, 0.01, 0.0];
    let round = |attempt: u32| Ok((attempt, shares[attempt as usize]));
    let repeated = repeat_after(&options, || Ok(()), round).expect("two quiet rounds");
    assert_eq!((repeated.values, repeated.disturbed, repeated.doubtful), (vec![1, 3], 2, false));
    assert!(repeat_after(&options, || Ok(()), |_| Ok(((), 1.0))).is_err());
    let options = Options::parse_from(["bench", "--rounds", "2", "--keep-disturbed"]);
    let repeated = repeat_after(&options, || Ok(()), |_| Ok((0.0, 1.0))).expect("kept");
    assert!(repeated.doubtful);
    let values = Repeated { values: vec![1.0, 9.0, 2.0], disturbed: 0, doubtful: false };
    assert_eq!(values.middle(|value| *value), Some(2.0));
}

#[test]
fn a_verdict_says_whether_minimum_or_target_is_reached_and_judges_nothing_doubtful() {
    let row = |measured, goal, doubtful| Row {
        scenario: Scenario::Accept,
        figure: "figure",
        unit: "",
        goal,
        measured,
        doubtful,
        raw: String::new(),
    };
    let (least, most) = (Goal::AtLeast(0.35, 0.7), Goal::AtMost(3.2, 1.6));
    for (value, goal, verdict) in [
        (0.7, least, Verdict::OnTarget),
        (0.35, least, Verdict::Ok),
        (0.34, least, Verdict::Missed),
        (f64::NAN, least, Verdict::Missed),
        (1.6, most, Verdict::OnTarget),
        (3.2, most, Verdict::Ok),
        (3.3, most, Verdict::Missed),
        (3.3, Goal::None, Verdict::Told),
    ] {
        assert_eq!(row(Ok(value), goal, false).verdict(), verdict, "{value}");
    }
    assert_eq!(row(Ok(0.7), least, true).verdict(), Verdict::NotJudged);
    assert_eq!(row(Err("no Go".to_owned()), least, false).verdict(), Verdict::NotMeasured);

    let mut report = Report::default();
    report.add(row(Ok(0.7), least, false));
    report.add(row(Err("no Go".to_owned()), Goal::None, false));
    assert!(report.holds());
    assert!(report.table().contains("no Go"));
    report.add(row(Err("no Go".to_owned()), least, false));
    assert!(!report.holds());
}
