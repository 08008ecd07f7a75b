//! The way of whoever is called at night, each step on what the one before gave: an alert that fires, its
//! runbook, its panel, the panel's query, an exemplar of it, the trace in Jaeger, and the lines of that trace.

use super::{
    prometheus::{RATE_INTERVAL, Window, now},
    scenario::{self, Traffic, act},
    stack::{Member, Stack},
    telemetry::{Telemetry, written},
};
use crate::program::shipped;
use crate::read::{self, Choice, Panel};
use chassis_test::{spans::hex, until, until_so};
use serde_json::Value;
use std::fs;

/// Which alert is walked from: accepts that take longer than their objective allows.
const OBJECTIVE: (&str, &str) = ("sloth_slo", "accept-latency");
const SEVERITY: (&str, &str) = ("severity", "page");
/// Of patients, callers and what they were told: nothing of it may be in a trace or a line.
const SECRETS: [&str; 5] = ["\"p-1\"", "/p-1", "+4930901820", "Please fill in", "the-key-of-"];

/// A span as it has to be: its kind, its name, its service, and the place of its parent in the list.
type Expected = (&'static str, &'static str, &'static str, Option<usize>);

const ACCEPT: &[Expected] = &[
    ("server", "POST /api/v1/notifications/sms/async", "epro-notify", None),
    ("producer", "send notifications", "epro-notify", Some(0)),
    ("consumer", "process notifications", "epro-notify", Some(1)),
    ("client", "POST", "epro-notify", Some(2)),
];
const READ: &[Expected] = &[
    ("server", "GET /api/v1/patients/{patientId}/latest-report", "ctms", None),
    ("client", "epro.v1.EproService/GetLatestReport", "ctms", Some(0)),
    ("server", "epro.v1.EproService/GetLatestReport", "epro-notify", Some(1)),
    ("client", "", "epro-notify", Some(2)),
];

#[test]
fn an_alert_that_fires_leads_to_the_traces_and_lines_of_what_is_wrong() {
    let telemetry = act("collector and Jaeger", Telemetry::start);
    let variables = telemetry.variables();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let stack = act("start", || Stack::start(&variables));
    let from = now();
    scenario::everyday(&stack);
    let traffic = Traffic::start(&stack);
    let alert = act("an alert fires", || firing(&stack));
    traffic.stop();
    runbook(&alert);
    let (uid, panel) = panel_of(&alert["annotations"]["dashboard_url"]);
    let scene = Scene { stack: &stack, telemetry: &telemetry, from };
    let trace = act("a trace of an accept", || scene.traced(&uid, |found| found.id() == panel, None, ACCEPT));
    act("its lines", || scene.lines(&trace, "epro-notify"));
    // Through both services, from the panel of the second one's own latency.
    let of_ctms = |panel: Panel<'_>| panel.title().starts_with("HTTP latency by route");
    let trace = act("a trace of a read", || scene.traced("service-overview", of_ctms, Some("ctms"), READ));
    act("its lines", || scene.lines(&trace, "ctms"));
}

/// The alert, which fires when enough was accepted too late.
fn firing(stack: &Stack) -> Value {
    let is = |alert: &&Value, (label, value): (&str, &str)| alert["labels"][label] == value;
    until(&format!("an alert of {OBJECTIVE:?} fires"), || {
        scenario::slow_accepts(stack);
        let data = stack.prometheus.ask("/api/v1/alerts", &[]).unwrap();
        let alerts = data["alerts"].as_array().cloned().unwrap_or_default();
        let mut of_it = alerts.iter().filter(|alert| is(alert, OBJECTIVE) && is(alert, SEVERITY));
        of_it.find(|alert| alert["state"] == "firing").cloned()
    })
}

/// The alert's section is in the runbook that it names.
fn runbook(alert: &Value) {
    let url = alert["annotations"]["runbook_url"].as_str().unwrap();
    let (page, anchor) = url.rsplit('/').next().unwrap().split_once('#').unwrap();
    let text = fs::read_to_string(shipped("deploy/runbooks").join(page)).unwrap();
    let heads = text.lines().filter(|line| line.starts_with('#'));
    let found =
        heads.map(|head| head.trim_start_matches('#').trim().to_lowercase()).any(|head| head == anchor);
    assert!(found, "{url}: {page} has no section {anchor}");
}

/// Dashboard and panel of an address as `…/d/<uid>?viewPanel=<id>`.
fn panel_of(url: &Value) -> (String, u64) {
    let url = url.as_str().unwrap();
    let (board, query) = url.split_once("/d/").unwrap().1.split_once('?').unwrap();
    let panel = query.split('&').find_map(|pair| pair.strip_prefix("viewPanel="));
    let panel = panel.unwrap_or_else(|| panic!("{url} names no panel"));
    (board.split('/').next().unwrap().to_owned(), panel.trim_start_matches("panel-").parse().unwrap())
}

/// What is looked at.
struct Scene<'a> {
    stack: &'a Stack,
    telemetry: &'a Telemetry,
    from: u64,
}

impl Scene<'_> {
    /// A whole trace of one of the exemplars of this panel's query.
    fn traced(
        &self,
        uid: &str,
        is_it: impl Fn(Panel<'_>) -> bool,
        job: Option<&str>,
        expected: &[Expected],
    ) -> Value {
        let boards = read::boards().unwrap();
        let board = boards.iter().find(|board| board.uid() == uid).unwrap();
        let panel = board.panels().into_iter().find(|panel| is_it(*panel)).unwrap();
        let target = panel.targets().into_iter().find(|target| target.exemplar());
        let target = target.unwrap_or_else(|| panic!("{uid} / {}: no query shows exemplars", panel.title()));
        let window = Window { from: self.from, to: now() };
        let choice = Choice {
            job: job.map(str::to_owned),
            instance: None,
            rate_interval: RATE_INTERVAL.to_owned(),
            range: format!("{}s", window.to - window.from),
        };
        let expr = read::expand(target.expr(), &choice);
        assert!(!self.stack.prometheus.range(&expr, window).unwrap().is_empty(), "no data: {expr}");
        let trace =
            until(&format!("a trace with all of {expected:?} that an exemplar of {expr} names"), || {
                let ids = self.exemplars(&expr);
                assert!(!ids.is_empty(), "no exemplar: {expr}");
                let mut traces = ids.iter().filter_map(|id| self.telemetry.trace(id));
                traces.find(|trace| has_all(trace, expected))
            });
        nothing_of_a_patient(&trace.to_string());
        trace
    }

    /// The traces that a query's exemplars name.
    fn exemplars(&self, expr: &str) -> Vec<String> {
        let (from, to) = (self.from.to_string(), now().to_string());
        let parameters = [("query", expr), ("start", &*from), ("end", &*to)];
        let data = self.stack.prometheus.ask("/api/v1/query_exemplars", &parameters).unwrap();
        let all = items(&data).flat_map(|series| items(&series["exemplars"]));
        all.filter_map(|exemplar| exemplar["labels"]["trace_id"].as_str().map(str::to_owned)).collect()
    }

    /// A line of the trace is on the service's stdout, and comes out of the collector with the trace's id.
    fn lines(&self, trace: &Value, service: &str) {
        let id = trace["traceID"].as_str().unwrap();
        let members: Vec<&Member> = match service {
            "ctms" => vec![&self.stack.ctms],
            _ => self.stack.instances.iter().collect(),
        };
        let name = format!("\"trace_id\":\"{id}\"");
        let on_stdout = || members.iter().any(|member| written(member).contains(&name));
        until_so(&format!("a line of {id} is on stdout of {service}"), on_stdout);
        for (number, member) in members.iter().enumerate() {
            self.telemetry.collect(&format!("{service}-{number}"), member);
        }
        let kept = || self.telemetry.lines.kept();
        until_so(&format!("a line of {id} comes out of the collector"), || {
            kept().iter().any(|line| line.service == service && hex(&line.record.trace_id) == id)
        });
        nothing_of_a_patient(&kept().iter().map(|line| line.all.to_string()).collect::<String>());
    }
}

fn nothing_of_a_patient(told: &str) {
    let secret = SECRETS.iter().find(|secret| told.contains(**secret));
    assert!(secret.is_none(), "{secret:?} is in {told}");
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether each of the expected spans is there, below its parent.
fn has_all(trace: &Value, expected: &[Expected]) -> bool {
    let mut found: Vec<&Value> = Vec::new();
    expected.iter().all(|(kind, name, service, parent)| {
        let parent = parent.map(|place| &found[place]["spanID"]);
        let is_it = |span: &&Value| {
            let mut tags = items(&span["tags"]);
            let mut above = items(&span["references"]).filter(|reference| reference["refType"] == "CHILD_OF");
            let process = span["processID"].as_str().unwrap_or_default();
            tags.any(|tag| tag["key"] == "span.kind" && tag["value"] == *kind)
                && (name.is_empty() || span["operationName"] == *name)
                && trace["processes"][process]["serviceName"] == *service
                && parent.is_none_or(|parent| above.any(|reference| reference["spanID"] == *parent))
        };
        found.extend(items(&trace["spans"]).find(is_it));
        found.last().is_some_and(is_it)
    })
}
