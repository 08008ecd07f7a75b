//! HTTP/1.1 abused, against the real service.

use crate::support::hostile::{GET, Target};
use chassis_test::raw::{flood, rest, statuses, trickle};
use std::io::Write;

const POST: &str =
    "POST /api/v1/notifications/sms/async HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n";

#[test]
fn trickled_headers_are_cut_off_and_counted_without_an_answer() {
    let target = Target::start();
    let mut stream = target.connect();
    trickle(&mut stream, format!("{}\r\n", GET.trim_end().repeat(3)).as_bytes());
    assert_eq!(rest(&mut stream), b"");
    target.until_timed_out(1);
    target.survived();
}

#[test]
fn a_trickled_body_is_answered_408() {
    let target = Target::start();
    let mut stream = target.connect();
    write!(stream, "{POST}connection: close\r\ncontent-length: 1000\r\n\r\n").unwrap();
    trickle(&mut stream, &[b' '; 1000]);
    let answer = String::from_utf8(rest(&mut stream)).unwrap();
    assert_eq!(statuses(&answer), ["408"], "{answer}");
    target.survived();
}

#[test]
fn answers_that_nobody_reads_do_not_pile_up() {
    let target = Target::start();
    let mut stream = target.connect();
    assert!(flood(&mut stream, GET.repeat(1000).as_bytes(), 1 << 30), "it took a gigabyte");
    drop(stream);
    target.survived();
}

#[test]
fn a_pipeline_of_a_thousand_is_answered_in_order() {
    let target = Target::start();
    let mut stream = target.connect();
    let mut reader = stream.try_clone().unwrap();
    let reading = std::thread::spawn(move || String::from_utf8(rest(&mut reader)).unwrap());
    let last = "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all((GET.repeat(999) + last).as_bytes()).unwrap();
    let answers = reading.join().unwrap();
    assert_eq!(statuses(&answers), ["404"; 1000]);
    target.survived();
}

#[test]
fn a_head_beyond_its_bounds_is_refused_however_it_is_made() {
    let target = Target::start();
    let line = |length: usize| "a".repeat(length);
    let many: String = (0..200).map(|nth| format!("x-{nth}: 1\r\n")).collect();
    let heads = [
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nx: {}\r\n\r\n", line(100 * 1024)),
        format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", line(100 * 1024)),
        format!("{} / HTTP/1.1\r\nHost: localhost\r\n\r\n", line(100 * 1024)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}: 1\r\n\r\n", line(100 * 1024)),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"),
    ];
    for head in &heads {
        let answers = target.answers(head.as_bytes());
        let refused = matches!(&*statuses(&answers), [] | ["400" | "414" | "431"]);
        assert!(refused, "{:?}…: {answers}", head.get(..40));
    }
    target.survived();
}

#[test]
fn headers_without_end_are_cut_off_in_bounded_memory() {
    let target = Target::start();
    let mut stream = target.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").unwrap();
    assert!(flood(&mut stream, "x-more: of the same\r\n".repeat(50).as_bytes(), 1 << 27));
    drop(stream);
    let mut stream = target.connect();
    assert!(flood(&mut stream, &[b'\n'; 1024], 1 << 27), "empty lines before a request");
    drop(stream);
    target.survived();
}

#[test]
fn broken_chunks_are_refused_and_never_a_failure_of_ours() {
    let target = Target::start();
    let extensions = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(1 << 20));
    let many_extensions = format!("{}0\r\n\r\n", "1;xxxxxxxxxxxxxxxx\r\n \r\n".repeat(20_000));
    let trailers = format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x-trailer: 1\r\n".repeat(20_000));
    let bodies = [
        "xyz\r\n{}\r\n0\r\n\r\n", "-1\r\n{}\r\n0\r\n\r\n", "0x2\r\n{}\r\n0\r\n\r\n", "+2\r\n{}\r\n0\r\n\r\n",
        "FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n", "FFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
        "8000000000000000\r\n{}\r\n0\r\n\r\n", "2\r\n{}0\r\n\r\n", "2\r\n{}}\r\n0\r\n\r\n", "2\n{}\n0\n\n",
        "\r\n{}\r\n0\r\n\r\n", " \r\n{}\r\n0\r\n\r\n", &extensions, &many_extensions, &trailers,
    ];
    for body in bodies {
        let answers = target.answers(format!("{POST}{CHUNKED}{body}").as_bytes());
        let begin: String = body.chars().take(40).collect();
        assert!(matches!(&*statuses(&answers), [] | ["400" | "408" | "413" | "422"]), "{begin:?}: {answers}");
    }
    target.survived();
}

#[test]
fn a_request_that_two_servers_could_read_differently_is_refused() {
    let target = Target::start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let heads = [
        "content-length: 5\r\ncontent-length: 6\r\n\r\n",
        "content-length: 5, 6\r\n\r\n",
        "content-length: +5\r\n\r\n",
        "content-length: 0x5\r\n\r\n",
        "content-length: -5\r\n\r\n",
        "content-length: 99999999999999999999999\r\n\r\n",
        "content-length : 5\r\n\r\n",
        "transfer-encoding: chunked, identity\r\n\r\n",
        "transfer-encoding: xchunked\r\n\r\n",
        "transfer-encoding : chunked\r\n\r\n",
        "transfer-encoding: identity\r\n\r\n",
        "x-folded: one\r\n two\r\ncontent-length: 5\r\n\r\n",
        "x-nul: a\0b\r\ncontent-length: 5\r\n\r\n",
        "x-return: a\rb\r\ncontent-length: 5\r\n\r\n",
        " x-space: 1\r\ncontent-length: 5\r\n\r\n",
        "no colon\r\ncontent-length: 5\r\n\r\n",
    ];
    for head in heads {
        let answers = target.answers(format!("{POST}{head}0\r\n\r\n{hidden}").as_bytes());
        assert!(matches!(&*statuses(&answers), [] | ["400"]), "{head:?}: {answers}");
    }
    target.survived();
}

#[test]
fn chunks_beside_a_length_hide_no_second_request() {
    let target = Target::start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for both in
        ["content-length: 5\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 5"]
    {
        // By its length the body ends before what is hidden, and by its chunks too: the connection must
        // close all the same, since a server in front may have read something else (RFC 9112, section 6.3).
        let answers = target.answers(format!("{POST}{both}\r\n\r\n0\r\n\r\n{hidden}").as_bytes());
        assert!(statuses(&answers).len() <= 1, "{both:?}: {answers}");
    }
    target.survived();
}
