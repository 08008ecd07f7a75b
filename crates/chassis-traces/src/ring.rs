//! The traces that are kept: a bounded number, each of a bounded size. At a high rate they are a sample.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use chassis_telemetry::{Tap, TraceContext};
use opentelemetry::trace::{SpanId, SpanKind, Status, TraceId};
use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;
use serde::Serialize;
use tracing::Metadata;

/// New traces a second. Above it, only a share of all traces is looked at, chosen by their ids; of the others, as many
/// failed spans.
const RATE: u32 = 100;
/// So many are shown in each list, and of the slowest so many of each name.
const SHOWN: usize = 40;
const OF_A_NAME: usize = 3;
/// From so many traces on, those that are not shown are forgotten.
const MOST: usize = 200;
/// About what one trace may take in memory, in bytes: 50 spans or 100 lines. What comes later is counted.
const MOST_BYTES: usize = 32 * 1024;

/// Times are in microseconds, since 1970 where they are points in time.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Span {
    pub span_id: String,
    pub parent_span_id: String,
    pub name: Cow<'static, str>,
    pub kind: String,
    pub start: u64,
    pub duration: u64,
    pub failed: bool,
    pub attributes: BTreeMap<String, String>,
    /// The trace that it is part of, where that is another one: a commit that served many.
    pub of_trace_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub span_id: String,
    pub at: u64,
    pub level: &'static str,
    pub message: String,
    pub fields: serde_json::Value,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Trace {
    pub trace_id: String,
    /// Of the span that began first: the root, once it has ended.
    pub name: Cow<'static, str>,
    pub failed: bool,
    /// The longest span: a message may wait for hours between its accept and its delivery.
    pub longest: u64,
    /// In the order in which they ended.
    pub spans: Vec<Span>,
    pub lines: Vec<Line>,
    pub left_out: u32,
    #[serde(skip)]
    bytes: usize,
}

/// What is shown, each list in its order.
pub(crate) type Lists<'a> = [(&'static str, Vec<&'a Trace>); 3];

fn lists(traces: &[Trace]) -> Lists<'_> {
    let latest = || traces.iter().rev();
    let (mut slow, mut names) = (latest().collect::<Vec<_>>(), HashMap::<&str, usize>::new());
    slow.sort_by_key(|trace| Reverse(trace.longest));
    slow.retain(|trace| {
        let of_its_name = names.entry(&trace.name).or_default();
        *of_its_name += 1;
        *of_its_name <= OF_A_NAME
    });
    slow.truncate(SHOWN);
    let failed = latest().filter(|trace| trace.failed).take(SHOWN).collect();
    [("recent", latest().take(SHOWN).collect()), ("slow", slow), ("failed", failed)]
}

/// The traces, oldest first, and which further ones are looked at.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    traces: Mutex<Vec<Trace>>,
    /// Of all traces, one in two to the power of this is looked at.
    halvings: AtomicU32,
    /// The second since 1970 in which these two are counted: traces that began, and failed spans beyond the sample.
    second: AtomicU64,
    begun: AtomicU32,
    failures: AtomicU32,
}

impl Ring {
    pub fn read<T>(&self, show: impl FnOnce(Lists<'_>) -> T) -> T {
        show(lists(&self.traces.lock()))
    }

    fn add(&self, trace_id: String, bytes: usize, add: impl FnOnce(&mut Trace)) {
        let traces = &mut *self.traces.lock();
        let at = traces.iter().rposition(|trace| trace.trace_id == trace_id).unwrap_or_else(|| {
            self.make_room(traces);
            traces.push(Trace { trace_id, ..Trace::default() });
            traces.len() - 1
        });
        let Some(trace) = traces.get_mut(at) else { return };
        trace.bytes += bytes;
        if trace.bytes <= MOST_BYTES { add(trace) } else { trace.left_out += 1 }
    }

    /// Counts a new trace, and forgets old ones.
    fn make_room(&self, traces: &mut Vec<Trace>) {
        if self.begun.fetch_add(1, Relaxed) >= RATE {
            self.begun.store(RATE / 2, Relaxed);
            self.halvings.fetch_add(1, Relaxed);
        }
        if traces.len() >= MOST {
            let shown = lists(traces).into_iter().flat_map(|(_, list)| list);
            let shown: HashSet<String> = shown.map(|trace| trace.trace_id.clone()).collect();
            traces.retain(|trace| shown.contains(&trace.trace_id));
        }
    }
}

impl Tap for Ring {
    fn wants(&self, trace: TraceId, at: SystemTime, failed: bool) -> bool {
        let now = at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let before = self.second.load(Relaxed);
        if now > before && self.second.compare_exchange(before, now, Relaxed, Relaxed).is_ok() {
            // A new second begins: a larger share again, if there was little in the one before.
            let few = self.begun.swap(0, Relaxed) < RATE / 2;
            let fewer = self.halvings.load(Relaxed).saturating_sub(few.into());
            self.halvings.store(if now - before > 1 { 0 } else { fewer }, Relaxed);
            self.failures.store(0, Relaxed);
        }
        let place = u128::from_be_bytes(trace.to_bytes()).trailing_zeros();
        place >= self.halvings.load(Relaxed) || failed && self.failures.fetch_add(1, Relaxed) < RATE
    }

    fn span(&self, span: SpanData) {
        let (own, start) = (&span.span_context, micros(span.start_time));
        // One commit serves many traces: it is shown in each of them, below the span that waited for it.
        let is_shared = span.span_kind == SpanKind::Client && span.parent_span_id == SpanId::INVALID;
        let links = span.links.iter().filter(|_| is_shared).map(|link| &link.span_context);
        let served = links.filter(|link| self.wants(link.trace_id(), span.end_time, false));
        let of_trace_id = Some(own.trace_id().to_string());
        let mut places: Vec<_> =
            served.map(|link| (link.trace_id(), link.span_id(), of_trace_id.clone())).collect();
        if places.is_empty() {
            places.push((own.trace_id(), span.parent_span_id, None));
        }
        for (trace, parent, of_trace_id) in places {
            let attributes = span.attributes.iter();
            let attributes = attributes.map(|one| (one.key.to_string(), one.value.to_string()));
            let one = Span {
                span_id: own.span_id().to_string(),
                parent_span_id: parent.to_string(),
                name: span.name.clone(),
                kind: format!("{:?}", span.span_kind).to_uppercase(),
                start,
                duration: micros(span.end_time).saturating_sub(start),
                failed: matches!(span.status, Status::Error { .. }),
                attributes: attributes.collect(),
                of_trace_id,
            };
            self.add(trace.to_string(), 256 + 80 * span.attributes.len(), |trace| {
                trace.failed |= one.failed;
                trace.longest = trace.longest.max(one.duration);
                if one.of_trace_id.is_none() && trace.spans.iter().all(|other| other.start >= start) {
                    trace.name = one.name.clone();
                }
                trace.spans.push(one);
            });
        }
    }

    fn line(&self, of: TraceContext, at: SystemTime, meta: &Metadata<'static>, text: &str, fields: &[u8]) {
        let fields = [b"{", fields, b"}"].concat();
        self.add(of.trace_id(), 128 + text.len() + fields.len(), |trace| {
            trace.failed |= *meta.level() == tracing::Level::ERROR;
            trace.lines.push(Line {
                span_id: of.span_id(),
                at: micros(at),
                level: meta.level().as_str(),
                message: text.to_owned(),
                fields: serde_json::from_slice(&fields).unwrap_or_default(),
            });
        });
    }
}

fn micros(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanContext, TraceState};
    use opentelemetry::{InstrumentationScope, TraceFlags};
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use std::time::Duration;

    use super::*;

    fn span(trace: u128, millis: u64, status: Status) -> SpanData {
        let (trace, id) = (TraceId::from(trace), SpanId::from(1));
        let begin = UNIX_EPOCH + Duration::from_secs(1);
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: "GET /a".into(),
            start_time: begin,
            end_time: begin + Duration::from_millis(millis),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::default(),
        }
    }

    #[test]
    fn the_slowest_and_the_failed_stay_when_many_come_after_them() {
        let ring = Ring::default();
        ring.span(span(1, 900, Status::Unset));
        ring.span(span(2, 1, Status::error("")));
        (3..10_000).for_each(|id| ring.span(span(id, 5, Status::Unset)));
        ring.read(|[(_, recent), (_, slow), (_, failed)]| {
            let id = |trace: u128| TraceId::from(trace).to_string();
            assert_eq!((recent.len(), slow.len(), failed.len()), (SHOWN, OF_A_NAME, 1));
            assert_eq!((&slow[0].trace_id, &failed[0].trace_id), (&id(1), &id(2)));
        });
        assert!(ring.traces.lock().len() <= MOST);
    }

    #[test]
    fn one_trace_takes_a_bounded_part_and_says_what_it_left_out() {
        let ring = Ring::default();
        (0..1000).for_each(|_| ring.span(span(1, 5, Status::Unset)));
        let kept = ring.read(|[(_, all), ..]| (all[0].spans.len(), all[0].left_out as usize));
        assert!(kept.0 < 200 && kept.0 + kept.1 == 1000, "{kept:?}");
    }

    #[test]
    fn a_burst_is_sampled_but_not_its_failures_and_everything_is_seen_again_when_it_is_over() {
        let (ring, at) = (Ring::default(), |second| UNIX_EPOCH + Duration::from_secs(second));
        let mut wanted = 0;
        for id in 1..100_000_u128 {
            if ring.wants(id.into(), at(5), false) {
                ring.span(span(id, 5, Status::Unset));
                wanted += 1;
            }
        }
        assert!((RATE..10 * RATE).contains(&wanted), "{wanted}");
        assert!(!ring.wants(99_999.into(), at(5), false) && ring.wants(99_999.into(), at(5), true));
        assert!(ring.wants(99_999.into(), at(9), false));
    }
}
