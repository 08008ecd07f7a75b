//! What the collector does while a backend is away: keeps on disk, and delivers when it is back.

use super::{
    backends::Lines,
    collector::{ERROR, SERVER, Site, span},
    lines::write,
};
use crate::program::free_address;
use chassis_test::{Behaviour, Collector as Backend, until_so};
use std::{collections::HashSet, time::Duration};

#[test]
fn what_came_while_the_backends_were_away_arrives_also_after_a_restart() {
    let (jaeger, loki) = (free_address(), free_address());
    let site = Site::new(jaeger, loki).unpacked();
    let collector = site.start();
    let sent: HashSet<u128> = (1..=100).collect();
    let spans: Vec<_> = sent.iter().map(|trace| span(*trace, Duration::ZERO, SERVER, ERROR)).collect();
    collector.send(&spans[..50]);
    write(&site, "a", (0..50).map(|number| format!(r#"{{"message":"line {number}","service":"ctms"}}"#)));
    // Judged, and in a queue that can't be emptied.
    until_so("the first half is spooled", || collector.count("otelcol_exporter_queue_size") > 0.0);
    collector.send(&spans[50..]);
    collector.stop();

    let collector = site.start();
    write(&site, "b", (50..60).map(|number| format!(r#"{{"message":"line {number}","service":"ctms"}}"#)));
    let (backend, lines) = (Backend::at(jaeger, Behaviour::Accept), Lines::at(loki));
    let arrived = || -> HashSet<u128> {
        let spans = backend.spans().into_iter();
        spans.map(|span| u128::from_be_bytes(span.trace_id.try_into().unwrap())).collect()
    };
    until_so("every span arrives", || arrived() == sent);
    let told = || -> HashSet<String> {
        lines
            .kept()
            .iter()
            .map(|line| line.body()["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let expected: HashSet<String> = (0..60).map(|number| format!("line {number}")).collect();
    until_so("every line arrives", || told() == expected);
    assert_eq!(collector.count("otelcol_exporter_enqueue_failed"), 0.0, "nothing was turned away");
}
