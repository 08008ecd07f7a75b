//! The dashboards, rules and the ways between them on live data: real programs play a scene of two minutes, and
//! everything that an operator would look at is asked of a real Prometheus.
//!
//! - `stack` starts all programs, `scenario` plays on them: both are usable by whoever wants to look at it.
//! - `checks` asks every query of every dashboard, `mutations` proves that it would notice another name, `moved`
//!   that the scene was worth asking about, `rules` asks for the rules.

mod api;
mod caller;
mod checks;
mod keys;
mod moved;
mod mutations;
mod prometheus;
mod promql;
mod rules;
mod scenario;
mod stack;

use crate::{
    program,
    support::{collector, wait::until_so},
};
use checks::Checker;
use prometheus::{Labels, Window, now};
use scenario::act;
use stack::Stack;
use std::time::{Duration, Instant};

/// What has not held by then never does: the last scrapes and evaluations are in.
const SETTLED: Duration = Duration::from_secs(20);

#[test]
fn every_query_finds_finite_data_and_would_notice_another_name() {
    let collector = collector::Collector::start(collector::Behaviour::Accept);
    let endpoint = collector.endpoint();
    let mut stack = act("start", || Stack::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]));
    let from = now();
    scenario::play(&mut stack);
    if !prometheus::shipped_rules().is_empty() {
        act("rules", || until_so("every rule was evaluated", || rules::all_evaluated(&stack.prometheus)));
    }
    let series = series(&stack, from);
    act("queries", || settled(|| queries(&stack, from)));
    let checker = Checker::of(&stack.prometheus, Window { from, to: now() });
    let mut faults = act("rules", || rules::faults(&checker));
    faults.extend(act("what moved", || moved::faults(&checker, &series)));
    let all = mutations::of(&series);
    let choice = &checks::choices(&stack.members(), checker.window)[0];
    let unnoticed = act("mutations", || mutations::unnoticed(&checker, &checks::questions(), choice, &all));
    assert!(
        faults.is_empty() && unnoticed.is_empty(),
        "{} faults:\n{}\n{} of {} other names would not be noticed:\n{}",
        faults.len(),
        faults.join("\n"),
        unnoticed.len(),
        all.len(),
        unnoticed.join("\n")
    );
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

/// Asks until nothing is wrong any more, and fails with what still is.
fn settled(faults: impl Fn() -> Vec<String>) {
    let began = Instant::now();
    loop {
        let faults = faults();
        if faults.is_empty() {
            return;
        }
        assert!(began.elapsed() < SETTLED, "{} queries fail:\n{}", faults.len(), faults.join("\n"));
        std::thread::sleep(Duration::from_secs(1));
    }
}
