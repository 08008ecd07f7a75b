//! HTTP/2 abused, against the real service.

use crate::support::hostile::Target;
use crate::support::prelude::*;
use chassis_test::{
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, PING, RST_STREAM, SETTINGS,
        WINDOW_UPDATE, frame, header, last_error, of_kind, request,
    },
    raw,
};
use std::time::{Duration, Instant};

const PATH: &str = "/api/v1/notifications/0";

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

const INITIAL_WINDOW_SIZE: u16 = 4;

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &request("GET", PATH))
}

#[test]
fn streams_reset_as_soon_as_they_begin_end_the_connection() {
    let target = Target::start();
    let caller = Http2::open(target.service.http);
    let reset: Vec<u8> = (0..10_000_u32)
        .flat_map(|nth| [get(2 * nth + 1), frame(RST_STREAM, 0, 2 * nth + 1, &8_u32.to_be_bytes())].concat())
        .collect();
    // It may be cut off in the middle.
    let _ = caller.send(&reset);
    let frames = caller.closed();
    assert_eq!(last_error(&frames), Some(ENHANCE_YOUR_CALM));
    target.survived();
}

#[test]
fn continuations_without_end_are_cut_off_in_bounded_memory() {
    let target = Target::start();
    let large = header("x-more", &"x".repeat(16_000));
    for (first, more) in [(&large[..], &large[..]), (b"", b""), (b"\x82", b"\x82")] {
        let caller = Http2::mute(target.service.http);
        caller.send(&frame(HEADERS, 0, 1, first)).unwrap();
        assert!(caller.flood(&frame(CONTINUATION, 0, 1, more).repeat(10), 1_000_000), "{} bytes", more.len());
        caller.closed();
    }
    target.survived();
}

#[test]
fn headers_that_never_end_are_cut_off_and_counted() {
    let target = Target::start();
    for begun in [frame(HEADERS, 0, 1, b""), frame(HEADERS, 0, 1, &request("GET", PATH)), vec![0, 0, 9]] {
        let before = target.timed_out();
        let caller = Http2::mute(target.service.http);
        caller.send(&begun).unwrap();
        caller.closed();
        target.until_timed_out(before + 1);
    }
    target.survived();
}

#[test]
fn a_caller_that_only_answers_pings_idles_and_is_closed() {
    let target = Target::start();
    let (caller, begun) = (Http2::open(target.service.http), Instant::now());
    caller.send(&get(1)).unwrap();
    let frames = caller.closed();
    assert!(begun.elapsed() >= Duration::from_millis(500), "{frames:?}");
    assert_eq!((last_error(&frames), of_kind(&frames, HEADERS).len()), (Some(0), 1));
    assert_eq!(target.timed_out(), 0);
    target.survived();
}

#[test]
fn a_caller_that_asks_now_and_then_is_not_closed() {
    let target = Target::start();
    let caller = Http2::open(target.service.http);
    for nth in 0..8 {
        caller.send(&get(2 * nth + 1)).unwrap();
        // Half of what it may idle; nothing tells that it has passed.
        std::thread::sleep(Duration::from_millis(250));
    }
    assert_eq!(of_kind(&caller.closed(), HEADERS).len(), 8);
    target.survived();
}

#[test]
fn headers_beyond_their_bounds_are_refused() {
    let target = Target::start();
    let caller = Http2::mute(target.service.http);
    let block = [request("GET", PATH), header("x-large", &"x".repeat(40_000))].concat();
    let (first, rest) = block.split_at(16_000);
    caller.send(&frame(HEADERS, END_STREAM, 1, first)).unwrap();
    let rest: Vec<&[u8]> = rest.chunks(16_000).collect();
    for (nth, part) in rest.iter().enumerate() {
        let flags = if nth + 1 == rest.len() { END_HEADERS } else { 0 };
        let _ = caller.send(&frame(CONTINUATION, flags, 1, part));
    }
    let frames = caller.closed();
    // 431, whose literal status is in the block, or the end of the stream or the connection.
    let refused = of_kind(&frames, HEADERS).iter().any(|frame| !frame.payload.contains(&0x88));
    assert!(
        refused || !of_kind(&frames, RST_STREAM).is_empty() || last_error(&frames) > Some(0),
        "{frames:?}"
    );
    target.survived();
}

#[test]
fn floods_of_small_frames_cost_no_memory_and_end() {
    let target = Target::start();
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]);
    let floods = [
        settings,
        frame(PING, 0, 0, &[7; 8]),
        frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()),
        frame(DATA, 0, 1, b""),
        frame(0xbe, 0, 0, b"unknown"),
    ];
    for flood in floods {
        // Whether it is cut off for them or not: without a request it idles.
        let caller = Http2::open(target.service.http);
        caller.flood(&flood.repeat(1000), 2000);
        caller.closed();
    }
    target.survived();
}

#[test]
fn a_caller_that_reads_nothing_is_cut_off() {
    let target = Target::start();
    let mut stream = target.connect();
    let begin = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, b"")].concat();
    std::io::Write::write_all(&mut stream, &begin).unwrap();
    let flood = frame(PING, 0, 0, &[7; 8]).repeat(1000);
    assert!(raw::flood(&mut stream, &flood, 1 << 30), "it took a gigabyte of pings");
    drop(stream);
    target.survived();
}

#[test]
fn wrong_windows_end_the_connection() {
    let target = Target::start();
    let largest = frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
    let nothing = frame(WINDOW_UPDATE, 0, 0, &0_u32.to_be_bytes());
    let too_large = frame(SETTINGS, 0, 0, &[0, 4, 0xff, 0xff, 0xff, 0xff]);
    for frames in [largest.repeat(2), nothing, too_large] {
        let caller = Http2::open(target.service.http);
        caller.send(&frames).unwrap();
        let frames = caller.closed();
        let error = last_error(&frames);
        assert!(matches!(error, Some(PROTOCOL_ERROR | FLOW_CONTROL_ERROR)), "{frames:?}");
    }
    target.survived();
}

#[test]
fn answers_without_a_window_are_given_up() {
    let target = Target::with(&[("APP_HTTP__HANDLER_TIMEOUT", "1s")]);
    let caller = Http2::with_settings(target.service.http, &[(INITIAL_WINDOW_SIZE, 0)]);
    let requests: Vec<u8> = (0..100_u32).flat_map(|nth| get(2 * nth + 1)).collect();
    caller.send(&requests).unwrap();
    let frames = caller.closed();
    assert_eq!(of_kind(&frames, HEADERS).len(), 100);
    assert!(of_kind(&frames, DATA).iter().all(|frame| frame.payload.is_empty()), "{frames:?}");
    target.survived();
}

#[test]
fn streams_beyond_the_most_are_refused_and_bodies_without_end_time_out() {
    let target = Target::start();
    let caller = Http2::open(target.service.http);
    let begin = |nth: u32| frame(HEADERS, END_HEADERS, 2 * nth + 1, &request("POST", ASYNC));
    caller.send(&(0..150_u32).flat_map(begin).collect::<Vec<_>>()).unwrap();
    let frames = caller.closed();
    let refused = of_kind(&frames, RST_STREAM).into_iter().filter(|frame| frame.error() == REFUSED_STREAM);
    assert_eq!(refused.count(), 50, "{frames:?}");
    let slow = target.service.metrics().sum("http_request_duration_seconds_count", &[("status", "408")]);
    assert_eq!(slow, 100);
    target.survived();
}

#[test]
fn frames_where_none_may_be_are_errors_of_their_sender() {
    let target = Target::start();
    let after_end =
        [get(1), frame(DATA, 0, 1, b"more"), frame(HEADERS, END_HEADERS, 1, &request("GET", PATH))];
    let cases = [
        after_end.concat(),
        frame(DATA, 0, 3, b"of no stream"),
        frame(DATA, 0, 0, b"of the connection"),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, &request("GET", PATH)),
        frame(CONTINUATION, END_HEADERS, 1, b""),
        frame(PING, 0, 0, b"short"),
        frame(SETTINGS, 0, 0, b"short"),
        frame(RST_STREAM, 0, 5, &0_u32.to_be_bytes()),
        frame(HEADERS, END_HEADERS, 1, &[0xff; 64]),
        frame(HEADERS, END_HEADERS | 0x08, 1, &[255, 0]),
        vec![0xff; 64],
    ];
    for (nth, sent) in cases.iter().enumerate() {
        let caller = Http2::open(target.service.http);
        caller.send(sent).unwrap();
        let frames = caller.closed();
        let told = !of_kind(&frames, GOAWAY).is_empty() || !of_kind(&frames, RST_STREAM).is_empty();
        assert!(told, "case {nth}: {frames:?}");
    }
    target.survived();
}
