//! What the process tells of itself: tasks, spans, lines, build. What the usual collectors tell
//! (`process_*`, `tokio_*`) is theirs.

use super::{Label, Metric, Values, counter, gauge, names};

const SPANS: Label = (names::LABEL_OUTCOME, Values::Closed(&["exported", "failed", "dropped"]));
const LINES: Label = (names::LABEL_OUTCOME, Values::Closed(&["written", "dropped"]));

pub(super) const METRICS: &[Metric] = &[
    counter(names::TASK_PANICS, "Background tasks that panicked.")
        .labels(&[(names::LABEL_TASK, Values::Open(""))]),
    counter(names::SPANS_ENDED, "Recorded spans that ended."),
    counter(names::SPANS, "Ended spans by what became of them; with the queued ones, all that ended.")
        .labels(&[SPANS]),
    gauge(
        names::SPANS_QUEUED,
        "Ended spans on their way to the collector; at rest ended = exported + failed + dropped + queued.",
    ),
    counter(names::LOG_LINES, "Log lines that were written, or dropped because stdout did not take them.")
        .labels(&[LINES]),
    counter(
        names::LATE_PARENTS,
        "Spans that started before their parent was set, and so lost their trace: always 0, else a defect.",
    ),
    gauge(names::BUILD_INFO, "1, labelled with what was built.").labels(&[
        (names::LABEL_VERSION, Values::Open("")),
        (names::LABEL_PLATFORM_VERSION, Values::Open("that of the template")),
        (names::LABEL_COMMIT, Values::Open("")),
        (names::LABEL_RUSTC, Values::Open("")),
    ]),
];
