//! One trace id leads from a caller's request through its line, its attempts' lines and spans to the
//! gateway, whatever `RUST_LOG`, the sampler and the exporter are set to.

use super::scene::{Asked, play, site};
use crate::support::{
    gateway::{Sent, sent},
    prelude::*,
};
use chassis_test::{
    lines,
    spans::{Span, hex, span_of},
};
use std::collections::HashMap;

const OTLP: (&str, &str) = ("OTEL_TRACES_EXPORTER", "otlp");
const NO_EXPORTER: (&str, &str) = ("OTEL_TRACES_EXPORTER", "none");
const DISABLED: (&str, &str) = ("OTEL_SDK_DISABLED", "true");
const ON: &str = "parentbased_always_on";

/// Each sampler with each way of export, and each filter with some. All of them together, on lines alone, are tried in
/// `crates/chassis-telemetry`.
const ROWS: [(&str, &str, (&str, &str)); 9] = [
    ("trace", ON, OTLP),
    ("info", ON, NO_EXPORTER),
    ("warn", ON, DISABLED),
    ("error", "always_off", OTLP),
    ("info,chassis_telemetry=warn,chassis_http=warn", "always_off", NO_EXPORTER),
    ("off", "always_off", DISABLED),
    ("info", "traceidratio", OTLP),
    ("off", "traceidratio", NO_EXPORTER),
    ("trace", "traceidratio", DISABLED),
];

#[test]
fn whatever_is_set_one_trace_leads_from_the_request_to_the_gateway() {
    std::thread::scope(|scope| {
        for rows in ROWS.chunks(3) {
            scope.spawn(|| rows.iter().for_each(|row| Played::run(row).check()));
        }
    });
}

/// What was seen of one run.
struct Played {
    setting: String,
    asked: Vec<Asked>,
    lines: Vec<Value>,
    sent: Vec<Sent>,
    spans: Vec<Span>,
    sampler: &'static str,
    exports: bool,
    /// Whether the filter lets the lines of requests and attempts through.
    requests: bool,
    attempts: bool,
}

impl Played {
    fn run(&(filter, sampler, export): &(&str, &'static str, (&str, &str))) -> Self {
        let collector = Collector::start(Behaviour::Accept);
        let (gateway, tap, site) = site();
        let mut site = site
            .with("RUST_LOG", filter)
            .with("OTEL_TRACES_SAMPLER", sampler)
            .with("OTEL_TRACES_SAMPLER_ARG", "0.5")
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
            .with(export.0, export.1);
        let service = site.start_quietly();
        let asked = play(&service, &gateway).asked;
        service.signal(Signal::TERM);
        let (code, stdout, stderr) = service.ended_with();
        let setting = format!("RUST_LOG={filter} {sampler} {export:?}");
        assert_eq!((code, &*stderr), (0, ""), "{setting}");
        assert!(filter != "off" || stdout.is_empty(), "{setting}: {stdout}");
        let lines = lines::read(&stdout, "epro-notify");
        Self {
            setting,
            asked,
            lines,
            sent: sent(&tap),
            spans: collector.spans(),
            sampler,
            exports: export == OTLP,
            requests: matches!(filter, "trace" | "info"),
            attempts: filter == "trace" || filter.starts_with("info"),
        }
    }

    fn check(&self) {
        assert!(!self.attempts || self.lines.len() > 20, "{}: {:#?}", self.setting, self.lines);
        self.asked.iter().for_each(|asked| self.check_request(asked));
        let accepted: HashMap<String, &Asked> = self.asked.iter().filter_map(submitted).collect();
        assert!(self.sent.len() > accepted.len(), "{}: {:#?}", self.setting, self.sent);
        for sent in &self.sent {
            let asked = accepted.get(&sent.id).unwrap_or_else(|| panic!("{}: {sent:?}", self.setting));
            assert_eq!(sent.traceparent.split('-').nth(1), Some(&*asked.trace_id), "{sent:?} {asked:?}");
            let flags = |header: &str| header.rsplit('-').next().map(str::to_owned);
            let told = asked.answer.header("traceparent").and_then(flags);
            assert_eq!(flags(&sent.traceparent), told, "{}: {sent:?} {asked:?}", self.setting);
        }
        // What an open breaker kept back is told of too, but was never sent.
        let made = |line: &&Value| line["fields"]["reason"] != "breaker_open";
        let attempts = self.lines.iter().filter(|line| line["message"] == "attempt finished").filter(made);
        let told = attempts.inspect(|line| {
            let id = line["fields"]["job_id"].as_str().unwrap();
            let asked = accepted.get(id).unwrap_or_else(|| panic!("{}: {line}", self.setting));
            assert_eq!(line["trace_id"], *asked.trace_id, "{}", self.setting);
        });
        let expected = if self.attempts { self.sent.len() } else { 0 };
        assert_eq!(told.count(), expected, "{}: one line an attempt: {:#?}", self.setting, self.sent);
        assert!(self.exports && self.sampler != "always_off" || self.spans.is_empty(), "{}", self.setting);
    }

    fn check_request(&self, asked: &Asked) {
        let context = asked.answer.header("traceparent").unwrap_or_else(|| panic!("{asked:?}"));
        let parts: Vec<&str> = context.split('-').collect();
        let &["00", trace_id, span_id, flags] = parts.as_slice() else { panic!("{context}") };
        assert_eq!(trace_id, asked.trace_id, "{}: {asked:?}", self.setting);
        match self.sampler {
            ON if self.exports => assert_eq!(flags, "01", "{}", self.setting),
            "always_off" => assert_eq!(flags, "00", "{}", self.setting),
            _ => {}
        }
        if asked.answer.status >= 400 {
            assert_eq!(asked.answer.text("traceId"), trace_id, "{}: {asked:?}", self.setting);
        }
        let of_it = |line: &&Value| line["message"] == "request" && line["trace_id"] == trace_id;
        let found: Vec<&Value> = self.lines.iter().filter(of_it).collect();
        assert_eq!(found.len(), usize::from(self.requests), "{}: {asked:?} {found:?}", self.setting);
        for line in found {
            assert_eq!((&line["span_id"], &line["trace_flags"]), (&span_id.into(), &flags.into()), "{line}");
            assert_eq!(line["fields"]["status"], asked.answer.status, "{line}");
        }
        let exported = span_of(&self.spans, span_id).map(|span| hex(&span.trace_id));
        let expected = (self.exports && flags == "01").then(|| trace_id.to_owned());
        assert_eq!(exported, expected, "{}: {asked:?}", self.setting);
    }
}

/// The id of a notification that was stored, and who asked for it.
fn submitted(asked: &Asked) -> Option<(String, &Asked)> {
    let answer = &asked.answer;
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    let stored = matches!(answer.status, 200 | 202 | 502 | 504) && body.get("attempts").is_none();
    let replayed_or_cancelled =
        answer.header("location").is_none() && answer.status == 202 || body["status"] == "cancelled";
    (stored && !replayed_or_cancelled).then(|| Some((body["id"].as_str()?.to_owned(), asked)))?
}
