//! Whether what operators look at is complete.

use super::ours;
use crate::{
    names,
    rules::{
        alert::Alert,
        proof::{Inapplicable, Proof},
    },
};

const INSTANCE: &[(&str, &str)] = &[("job", "epro-notify"), ("instance", "a:9464")];

pub fn all() -> Vec<Alert> {
    vec![spans_lost(), log_lines_lost(), late_parents()]
}

fn of(name: &str, more: &str) -> String {
    format!(r#"{name}{{job="epro-notify",instance="a:9464"{more}}}"#)
}

fn spans_lost() -> Alert {
    let lost = of(names::SPANS, ",outcome=\"failed\"");
    let series = format!("{}{{outcome=~\"failed|dropped\",{}}}", names::SPANS, ours());
    Alert::ticket("SpansLost", "telemetry", format!("sum by (job, instance) (rate({series}[5m])) > 0"))
        .hold("15m")
        .when("spans are lost for 15 min without a break", "No caller notices, but who is called next has no traces. A collector's restart loses a batch at most and is over in minutes.")
        .says(
            "{{ $labels.job }} at {{ $labels.instance }} loses spans",
            "{{ $value | humanize }} spans a second have failed or been dropped for 15 minutes: the collector does not take them.",
        )
        .see("telemetry", "runtime-telemetry", "Spans")
        .proven(
            Proof::new(&[(&lost, "0x9 60+60x40 2460x60")], ["9m", "40m", "70m"])
                .labels(INSTANCE)
                .shown("1")
                .idle(&[(&lost, "0x140")])
                .single(&[(&lost, "0x9 1x140")]),
        )
}

fn log_lines_lost() -> Alert {
    let lost = of(names::LOG_LINES, ",outcome=\"dropped\"");
    let series = format!("{}{{outcome=\"dropped\",{}}}", names::LOG_LINES, ours());
    Alert::ticket("LogLinesLost", "telemetry", format!("increase({series}[30m]) > 0"))
        .when("a log line was dropped within 30 min", "16 MiB of lines wait for their reader before one is dropped: it never happens by chance.")
        .says(
            "{{ $labels.job }} at {{ $labels.instance }} has dropped log lines",
            "About {{ $value | humanize }} lines were dropped within 30 minutes: whatever reads stdout has stalled.",
        )
        .see("telemetry", "runtime-telemetry", "Log lines")
        .proven(
            Proof::new(&[(&lost, "0x29 30x140")], ["29m", "40m", "80m"])
                .labels(&[("job", "epro-notify"), ("instance", "a:9464"), ("outcome", "dropped")])
                .shown("30")
                .idle(&[(&lost, "0x140")])
                .no_single(Inapplicable::OneIsEnough),
        )
}

fn late_parents() -> Alert {
    let late = of(names::LATE_PARENTS, "");
    Alert::ticket("LateParents", "telemetry", format!("increase({}{{{}}}[1h]) > 0", names::LATE_PARENTS, ours()))
        .when("a span has lost its trace within 1 h", "Always 0, else a defect of a release: worth a ticket, never a night.")
        .says(
            "Spans of {{ $labels.job }} at {{ $labels.instance }} have lost their trace",
            "About {{ $value | humanize }} spans began before their parent was set. It is a defect of this build.",
        )
        .see("telemetry", "runtime-telemetry", "Spans that lost their trace")
        .proven(
            Proof::new(&[(&late, "0x69 5x140")], ["69m", "80m", "140m"])
                .labels(INSTANCE)
                .shown("5")
                .idle(&[(&late, "0x200")])
                .no_single(Inapplicable::OneIsEnough),
        )
}
