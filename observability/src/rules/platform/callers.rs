//! What callers meet: limits, shed features, full listeners; and the registry that leads them here.

use super::ours;
use crate::{
    names,
    rules::{alert::Alert, proof::Proof},
};

const JOB: &[(&str, &str)] = &[("job", "epro-notify")];
const INSTANCE: &[(&str, &str)] = &[("job", "epro-notify"), ("instance", "a:9464")];

pub fn all() -> Vec<Alert> {
    vec![
        degradation_high(),
        degradation_lasting(),
        degradation_pinned(),
        rate_limited_long(),
        connections_exhausted(),
        registration_lost(),
    ]
}

fn of(name: &str, more: &str) -> String {
    format!(r#"{name}{{job="epro-notify",instance="a:9464"{more}}}"#)
}

/// Above a level, and not because somebody wants it so.
fn degraded(level: u32) -> String {
    format!(
        "{}{{{jobs}}} >= {level}\nunless on (job, instance) {}{{{jobs}}} == 1",
        names::DEGRADATION_LEVEL,
        names::DEGRADATION_PINNED,
        jobs = ours()
    )
}

fn degraded_proof(story: &str, times: [&'static str; 3], shown: &'static str) -> Proof {
    let (level, pinned) = (of(names::DEGRADATION_LEVEL, ""), of(names::DEGRADATION_PINNED, ""));
    Proof::new(&[(&level, story), (&pinned, "0x200")], times)
        .labels(INSTANCE)
        .shown(shown)
        // Another one is pinned on purpose, which is no overload.
        .idle(&[
            (&level, "0x200"),
            (&pinned, "0x200"),
            (&level.replace("a:", "b:"), "3x200"),
            (&pinned.replace("a:", "b:"), "1x200"),
        ])
        .single(&[(&level, "0x9 3 0x200"), (&pinned, "0x200")])
}

fn degradation_high() -> Alert {
    Alert::page("DegradationHigh", "limits", degraded(3))
        .hold("10m")
        .when("reading reports is shed for 10 min", "The highest level: reports cannot be read, and the next thing to fail is accepting. A rush passes in less.")
        .says(
            "{{ $labels.job }} at {{ $labels.instance }} sheds reading reports",
            "The level of degradation has been {{ $value }} for ten minutes; `GET /degradation` on the admin listener names the signal.",
        )
        .see("limits", "limits-resilience", "Level by instance")
        .proven(degraded_proof("0x9 3x30 0x60", ["9m", "30m", "60m"], "3"))
}

fn degradation_lasting() -> Alert {
    Alert::ticket("DegradationLasting", "limits", degraded(1))
        .hold("30m")
        .when("anything is shed for 30 min", "Shedding is meant for a rush. What lasts half an hour is a lack of capacity or a wrong threshold.")
        .says(
            "{{ $labels.job }} at {{ $labels.instance }} has shed for half an hour",
            "The level of degradation is {{ $value }}: previews, and from level 2 on bulk notifications, are refused.",
        )
        .see("limits", "limits-resilience", "Level by instance")
        .proven(degraded_proof("0x9 1x60 0x60", ["9m", "60m", "100m"], "1"))
}

fn degradation_pinned() -> Alert {
    let pinned = of(names::DEGRADATION_PINNED, "");
    Alert::ticket("DegradationPinned", "limits", format!("{}{{{}}} == 1", names::DEGRADATION_PINNED, ours()))
        .hold("1h")
        .when("somebody has pinned the level for 1 h", "A pin is set for a moment and forgotten for ever. While it holds, the service does not protect itself.")
        .says(
            "The level of degradation is pinned at {{ $labels.instance }}",
            "{{ $labels.job }} at {{ $labels.instance }} has been held at one level by hand for an hour, whatever its signals say.",
        )
        .see("limits", "limits-resilience", "Level set by hand")
        .proven(
            Proof::new(&[(&pinned, "0x9 1x90 0x60")], ["9m", "90m", "120m"]).labels(INSTANCE).idle(&[(&pinned, "0x200")]),
        )
}

fn rate_limited_long() -> Alert {
    let all = names::RATE_LIMIT_DECISIONS;
    let limited = format!("sum by (job) (rate({all}{{decision=\"limited\",{}}}[10m]))", ours());
    let decided = format!("sum by (job) (rate({all}{{{}}}[10m]))", ours());
    let [refused, allowed] =
        ["limited", "allowed"].map(|decision| of(all, &format!(",decision=\"{decision}\",surface=\"http\"")));
    Alert::ticket("RateLimitedLong", "limits", format!("{limited} > 1\nand {limited} / {decided} > 0.1"))
        .hold("30m")
        .when("more than 1 a second and a tenth of all requests refused with 429 for 30 min", "A burst is what limits are for. Half an hour is a caller that does not heed Retry-After, or a limit that is too small for one who needs more. The service is well: no page.")
        .says(
            "Callers of {{ $labels.job }} are limited for long",
            "{{ $value | humanize }} requests a second have been refused with 429 for half an hour.",
        )
        .see("limits", "limits-resilience", "Limited share")
        .proven(
            Proof::new(&[(&refused, "0x19 300+300x60 18300x60"), (&allowed, "0+600x140")], ["19m", "70m", "110m"])
                .labels(JOB)
                .shown("5")
                .idle(&[(&refused, "0x140"), (&allowed, "0x140")])
                .single(&[(&refused, "0x19 1x140"), (&allowed, "0x18 1x140")]),
        )
}

fn connections_exhausted() -> Alert {
    let name = names::HTTP_CONNECTIONS_LIMIT_REACHED;
    let reached = of(name, ",listener=\"http\"");
    Alert::page("ConnectionsExhausted", "http", format!("increase({name}{{{}}}[5m]) > 0", ours()))
        .hold("10m")
        .when("all connections are taken, again and again, for 10 min", "Who cannot connect is in no request metric, so no objective sees it. One rush that fills the listener once is over after five minutes.")
        .says(
            "The listener {{ $labels.listener }} of {{ $labels.instance }} is full",
            "As many connections as APP_HTTP__MAX_CONNECTIONS allows were open {{ $value | humanize }} times within five minutes: new callers wait.",
        )
        .see("limits", "limits-resilience", "Connections turned away")
        .proven(
            Proof::new(&[(&reached, "0x9 2+2x30 62x60")], ["9m", "30m", "60m"])
                .labels(&[("job", "epro-notify"), ("instance", "a:9464"), ("listener", "http")])
                .shown("10")
                .idle(&[(&reached, "0x140")])
                .single(&[(&reached, "0x9 1x140")]),
        )
}

fn registration_lost() -> Alert {
    let up = of(names::GRPC_REGISTRATION_UP, "");
    Alert::ticket("RegistrationLost", "grpc", format!("{}{{{}}} == 0", names::GRPC_REGISTRATION_UP, ours()))
        .hold("5m")
        .when("etcd has not held an instance's registration for 5 min", "A lease lasts 10 s and is made again by itself; the other instances serve on, and callers keep those they know. With none left, NoEndpointUp pages.")
        .says(
            "{{ $labels.instance }} is not registered in etcd",
            "Callers that find instances through etcd do not find {{ $labels.instance }}.",
        )
        .see("limits", "limits-resilience", "Registered")
        .proven(
            Proof::new(&[(&up, "1x9 0x20 1x30")], ["9m", "20m", "40m"])
                .labels(INSTANCE)
                .idle(&[(&up, "1x60")])
                .single(&[(&up, "1x9 0 1x50")]),
        )
}
