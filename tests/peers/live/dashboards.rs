//! Every query of every dashboard, and every rule, on the data of a scene in which everything happens.

use super::{
    checks::{self, Checker},
    moved,
    prometheus::{Labels, Window, now},
    rules,
    scenario::{self, act},
    stack::Stack,
};
use chassis_test::{Behaviour, Collector, until_so};
use std::time::{Duration, Instant};

/// What has not held by then never does: the last scrapes and evaluations are in.
const SETTLED: Duration = Duration::from_secs(20);

#[test]
fn every_query_finds_finite_data() {
    let collector = Collector::start(Behaviour::Accept);
    let endpoint = collector.endpoint();
    let mut stack = act("start", || {
        Stack::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_EXPORT_TIMEOUT", "1000")])
    });
    let from = now();
    scenario::play(&mut stack);
    let address = collector.address;
    collector.stop();
    act("spans are lost", || scenario::lose_spans(&stack));
    let _collector = Collector::at(address, Behaviour::Accept);
    act("rules are evaluated", || {
        until_so("every rule was evaluated", || rules::all_evaluated(&stack.prometheus));
    });
    let series = series(&stack, from);
    let mut faults = act("queries", || settled(|| queries(&stack, from)));
    let checker = Checker::of(&stack.prometheus, Window { from, to: now() });
    faults.extend(act("rules", || rules::faults(&checker)));
    faults.extend(act("what moved", || moved::faults(&checker, &series)));
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// All series of the services.
fn series(stack: &Stack, from: u64) -> Vec<Labels> {
    stack.prometheus.series(r#"{job=~"epro-notify|ctms"}"#, Window { from, to: now() }).unwrap()
}

/// What is wrong with the dashboards' queries.
fn queries(stack: &Stack, from: u64) -> Vec<String> {
    let checker = Checker::of(&stack.prometheus, Window { from, to: now() });
    let choices = checks::choices(&stack.members(), checker.window);
    let questions = checks::questions();
    let asked = questions.iter().flat_map(|question| choices.iter().map(move |choice| (question, choice)));
    asked.filter_map(|(question, choice)| checker.fault(question, choice)).collect()
}

/// Asks until nothing is wrong any more; what still is after a while.
fn settled(faults: impl Fn() -> Vec<String>) -> Vec<String> {
    let began = Instant::now();
    loop {
        let faults = faults();
        if faults.is_empty() || began.elapsed() > SETTLED {
            return faults;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}
