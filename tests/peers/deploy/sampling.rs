//! Tail sampling as production has it: errors and slow ones always, few of the rest, and spans that come late
//! follow their trace.

use super::{
    backends::Lines,
    collector::{Collector, ERROR, INTERNAL, SERVER, Site, UNSET, span},
};
use chassis_test::{Behaviour, Collector as Backend, until_so};
use std::{collections::HashSet, time::Duration};

const FAST: Duration = Duration::from_millis(2);

fn kept(backend: &Backend) -> HashSet<u128> {
    let spans = backend.spans().into_iter();
    spans.map(|span| u128::from_be_bytes(span.trace_id.try_into().unwrap())).collect()
}

/// Sends a trace that is surely kept, after the others, and waits for it: what was judged before it has come.
fn until_judged(collector: &Collector, backend: &Backend, marker: u128) {
    collector.send(&[span(marker, FAST, SERVER, ERROR)]);
    until_so("a trace that failed arrives", || kept(backend).contains(&marker));
}

#[test]
fn failed_and_slow_traces_are_kept_and_the_rest_is_not() {
    let (backend, lines) = (Backend::start(Behaviour::Accept), Lines::start());
    let collector =
        Site::new(backend.address, lines.address).unpacked().with("TRACES_KEPT_PERCENT", "0").start();
    let traces = [
        (1, span(1, FAST, SERVER, UNSET)),
        (2, span(2, FAST, INTERNAL, ERROR)),
        // Past the objective of an accept.
        (3, span(3, Duration::from_millis(101), SERVER, UNSET)),
        // As long, but nobody waits for it.
        (4, span(4, Duration::from_millis(101), INTERNAL, UNSET)),
        (5, span(5, Duration::from_millis(1_001), INTERNAL, UNSET)),
        (6, span(6, Duration::from_millis(99), SERVER, UNSET)),
    ];
    for (_, span) in &traces {
        collector.send(std::slice::from_ref(span));
    }
    until_judged(&collector, &backend, 7);
    assert_eq!(kept(&backend), HashSet::from([2, 3, 5, 7]));

    // Late: long after its trace was judged, an attempt that is fast and well, and one of a trace that is gone.
    collector.send(&[span(2, FAST, INTERNAL, UNSET), span(1, FAST, INTERNAL, ERROR)]);
    let late = |trace: u128| {
        let of = |span: &&opentelemetry_proto::tonic::trace::v1::Span| span.trace_id == trace.to_be_bytes();
        backend.spans().iter().filter(of).count()
    };
    until_so("a late span follows its trace", || late(2) == 2);
    until_judged(&collector, &backend, 8);
    assert_eq!(late(1), 0, "a trace that was let go stays gone, and is not seen in part");
}

#[test]
fn development_keeps_every_trace() {
    let (backend, lines) = (Backend::start(Behaviour::Accept), Lines::start());
    let collector = Site::new(backend.address, lines.address).unpacked().start();
    let all: HashSet<u128> = (1..=200).map(|number| number << 64 | 5).collect();
    let spans: Vec<_> = all.iter().map(|trace| span(*trace, FAST, SERVER, UNSET)).collect();
    collector.send(&spans);
    until_so("all arrive", || kept(&backend) == all);
}

#[test]
fn a_share_of_the_rest_is_a_share() {
    let (backend, lines) = (Backend::start(Behaviour::Accept), Lines::start());
    let collector =
        Site::new(backend.address, lines.address).unpacked().with("TRACES_KEPT_PERCENT", "20").start();
    let spans: Vec<_> =
        (1..=1_000_u128).map(|number| span(number << 64 | number, FAST, SERVER, UNSET)).collect();
    collector.send(&spans);
    until_judged(&collector, &backend, 1);
    let share = kept(&backend).len();
    assert!((120..300).contains(&share), "{share} of 1000");
}
