//! Log lines as they stand on stdout: whole, with real ids, and forged by nobody.

use crate::support::telemetry::{Lines, start, value};
use epro_notify::platform::telemetry::{SpanExt, TraceContext};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::{fmt, time::Duration};
use tracing::{debug, debug_span, error, info, info_span, warn};

const LONG: Duration = Duration::from_secs(30);
const TARGET: &str = "epro_notify::test";
/// Every line has these, in this order.
const KEYS: [&str; 10] = [
    "timestamp",
    "level",
    "target",
    "message",
    "trace_id",
    "span_id",
    "trace_flags",
    "service",
    "version",
    "fields",
];

/// The keys of an object as they stand there, repeated ones as well.
struct Keys(Vec<String>);

impl<'de> serde::Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Keys;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                let mut keys = Vec::new();
                while let Some((key, _)) = map.next_entry::<String, IgnoredAny>()? {
                    keys.push(key);
                }
                Ok(Keys(keys))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

/// The lines, each of which is one object with exactly our keys and real ids.
fn checked(lines: &Lines) -> Vec<Map<String, Value>> {
    for line in lines.text().lines() {
        assert_eq!(serde_json::from_str::<Keys>(line).unwrap().0, KEYS, "{line}");
    }
    let objects = lines.objects();
    for object in &objects {
        let header = format!(
            "00-{}-{}-{}",
            text(object, "trace_id"),
            text(object, "span_id"),
            text(object, "trace_flags")
        );
        assert!(TraceContext::parse(&header).is_some(), "{header}");
        assert!(text(object, "timestamp").parse::<jiff::Timestamp>().is_ok());
        assert_eq!((text(object, "service"), text(object, "version")), ("a-service", "1.2.3"));
    }
    objects
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object[key].as_str().unwrap()
}

#[test]
fn every_line_has_its_trace_id_whatever_filter_sampler_and_export() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let exports = [vec![], vec![endpoint], vec![endpoint, ("OTEL_SDK_DISABLED", "true")]];
    for filter in ["error", "warn", "info", "trace,h2=off", "epro_notify=warn", "[inner]=trace,error"] {
        for sampler in
            ["always_on", "always_off", "traceidratio", "parentbased_always_on", "parentbased_always_off"]
        {
            for export in &exports {
                let settings = [
                    &[
                        ("RUST_LOG", filter),
                        ("OTEL_TRACES_SAMPLER", sampler),
                        ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
                    ],
                    export.as_slice(),
                ]
                .concat();
                let (telemetry, lines) = start(&settings);
                let parent = TraceContext::new_root();
                let ids = telemetry.run(|| {
                    let outer = info_span!(target: TARGET, "outer");
                    outer.continue_from(parent);
                    let inner = outer.in_scope(|| info_span!(target: TARGET, "inner"));
                    inner.in_scope(|| {
                        info!(target: TARGET, "info");
                        error!(target: TARGET, "error");
                    });
                    outer.in_scope(|| {
                        let library = info_span!(target: "hyper", "a library's");
                        library.in_scope(|| error!(target: "hyper", "library"));
                    });
                    (outer.trace_context().unwrap(), inner.trace_context().unwrap())
                });
                // The collector is away, so only the lines come out for sure.
                telemetry.telemetry.flusher().flush_lines(LONG);
                for object in checked(&lines) {
                    let expected = if text(&object, "message") == "library" { ids.0 } else { ids.1 };
                    assert_eq!(text(&object, "trace_id"), parent.trace_id(), "{settings:?}");
                    assert_eq!(text(&object, "span_id"), expected.span_id(), "{settings:?}");
                    assert_eq!(text(&object, "trace_flags") == "01", expected.sampled());
                }
                assert!(
                    lines.objects().iter().any(|object| text(object, "message") == "error"),
                    "{settings:?}"
                );
            }
        }
    }
}

#[test]
fn a_debug_span_is_never_in_the_trace_and_its_lines_belong_to_the_span_around() {
    for filter in ["info", "trace"] {
        let (telemetry, lines) = start(&[("RUST_LOG", filter)]);
        let outer = telemetry.run(|| {
            let outer = info_span!(target: TARGET, "outer");
            outer.in_scope(|| debug_span!(target: TARGET, "inner").in_scope(|| info!("line")));
            outer.trace_context().unwrap()
        });
        assert!(telemetry.telemetry.shutdown(LONG));
        assert_eq!(text(&checked(&lines)[0], "span_id"), outer.span_id());
    }
}

#[test]
fn a_filter_may_come_to_name_spans_and_name_none_again() {
    let (telemetry, lines) = start(&[("RUST_LOG", "info")]);
    let work = || {
        info_span!(target: TARGET, "chosen").in_scope(|| debug!(target: TARGET, "inside"));
        info_span!(target: TARGET, "other").in_scope(|| debug!(target: TARGET, "in another"));
    };
    for filter in ["info", "[chosen]=debug,info", "info"] {
        telemetry.telemetry.filter.set(filter).unwrap();
        telemetry.run(work);
    }
    assert!(telemetry.telemetry.shutdown(LONG));
    let told: Vec<_> = checked(&lines).iter().map(|line| text(line, "message").to_owned()).collect();
    assert_eq!(told, ["inside"]);
}

#[test]
fn a_line_outside_any_span_has_the_process_trace() {
    let (telemetry, lines) = start(&[]);
    telemetry.run(|| {
        info!("started");
        info!("ready");
        info!(parent: None, "of no span");
        info_span!(target: TARGET, "work").in_scope(|| info!(parent: None, "of no span here either"));
    });
    assert!(telemetry.telemetry.shutdown(LONG));
    let objects = checked(&lines);
    assert_eq!(objects.len(), 4);
    assert!(objects.iter().all(|object| object["trace_id"] == objects[0]["trace_id"]));
}

#[test]
fn nothing_from_outside_can_forge_or_repeat_a_key() {
    let evil = "\",\"trace_id\":\"forged\"}\n{\"level\":\"forged\u{0}\u{1b}[2J\\";
    let (telemetry, lines) = start(&[]);
    let span = telemetry.run(|| {
        let span = info_span!(target: TARGET, "work", trace_id = "forged", otel.name = evil);
        span.in_scope(|| {
            info!(trace_id = "forged", level = evil, service = 7, fields = ?[evil], r#type = %evil, "{evil}");
            warn!(message = evil, timestamp = f64::NAN, big = u128::MAX, small = -1i64, on = true);
        });
        span.trace_context().unwrap()
    });
    assert!(telemetry.telemetry.shutdown(LONG));
    let objects = checked(&lines);
    let [first, second] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!(text(first, "trace_id"), span.trace_id());
    assert_eq!((text(first, "level"), text(first, "message")), ("INFO", evil));
    let fields = first["fields"].as_object().unwrap();
    assert_eq!(
        (&fields["trace_id"], &fields["level"], &fields["service"]),
        (&"forged".into(), &evil.into(), &7.into())
    );
    assert_eq!(fields["type"], evil);
    assert_eq!(text(second, "message"), evil);
    let fields = second["fields"].as_object().unwrap();
    assert_eq!(fields["timestamp"], Value::Null);
    assert_eq!(fields["big"], u128::MAX.to_string());
    assert_eq!((&fields["small"], &fields["on"]), (&(-1).into(), &true.into()));
}

#[test]
fn a_value_that_logs_while_it_is_shown_does_no_harm() {
    struct Talkative;
    impl fmt::Display for Talkative {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            info!("within");
            f.write_str("shown")
        }
    }
    let (telemetry, lines) = start(&[]);
    telemetry.run(|| info!(value = %Talkative, "around"));
    assert!(telemetry.telemetry.shutdown(LONG));
    assert!(checked(&lines).iter().any(|object| object["fields"]["value"] == "shown"));
}

#[test]
fn lines_are_counted_and_an_error_is_there_at_once() {
    let (telemetry, lines) = start(&[]);
    telemetry.run(|| {
        (0..1000).for_each(|number| info!(number, "line"));
        error!("last");
    });
    assert!(telemetry.telemetry.flusher().flush(LONG));
    let metrics = telemetry.telemetry.metrics.render();
    assert_eq!(value(&metrics, "telemetry_log_lines_total{outcome=\"written\"}"), 1001);
    assert_eq!(value(&metrics, "telemetry_log_lines_total{outcome=\"dropped\"}"), 0);
    assert_eq!(checked(&lines).len(), 1001);
}

#[test]
fn a_pretty_line_is_one_line_with_the_same_ids() {
    let (telemetry, lines) = start(&[("log.format", "pretty")]);
    let context = telemetry.run(|| {
        let span = info_span!(target: TARGET, "work");
        span.in_scope(|| info!(target: TARGET, answer = 42, text = "a\nb\u{1b}[2J", "two\nlines"));
        span.trace_context().unwrap()
    });
    assert!(telemetry.telemetry.shutdown(LONG));
    let text = lines.text();
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("INFO epro_notify::test two\\nlines answer=42 text="), "{text}");
    assert!(
        text.contains(&format!("trace_id={} span_id={}", context.trace_id(), context.span_id())),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'));
}
