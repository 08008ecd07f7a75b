//! Whether the processes are there, are the same, and stay.

use super::ours;
use crate::{
    names,
    rules::{
        alert::{Alert, Severity},
        proof::{Inapplicable, Proof},
    },
    site,
};

const UP: &str = r#"up{job="epro-notify",instance="a:9464"}"#;
const INSTANCE: &[(&str, &str)] = &[("job", "epro-notify"), ("instance", "a:9464")];

pub fn all() -> Vec<Alert> {
    vec![watchdog(), instance_down(), instance_missing(), crash_loop(), task_panicked(), versions_differ()]
}

fn watchdog() -> Alert {
    Alert::new(Severity::None, "Watchdog", "alerting", "vector(1)".to_owned())
        .when("always: its absence is the alarm", "Prometheus cannot tell that it is down itself: whoever receives this calls when it stops coming.")
        .says(
            "Alerting works from end to end",
            "Always fires. When its receiver misses it, Prometheus, Alertmanager or the way between is down, and no other alert would come.",
        )
        .see("platform", "service-overview", "Alerts firing")
        .proven(Proof { stories: vec![crate::rules::proof::Story {
            series: Vec::new(), quiet: None, fires: "0m", over: None,
        }], ..Proof::new(&[], ["0m"; 3]).no_single(Inapplicable::Always) })
}

fn instance_down() -> Alert {
    Alert::page("InstanceDown", "process", format!("up{{{}}} == 0", ours()))
        .hold("2m")
        .when(
            "an instance cannot be scraped for 2 min",
            "A restart takes seconds; one lost scrape is no outage.",
        )
        .says(
            "{{ $labels.job }} at {{ $labels.instance }} does not answer",
            "Prometheus has not reached the admin listener of {{ $labels.instance }} for two minutes.",
        )
        .see("platform", "service-overview", "Instances down")
        .proven(
            Proof::new(&[(UP, "1x9 0x9 1x30")], ["9m", "15m", "25m"])
                .labels(INSTANCE)
                .idle(&[(UP, "1x60")])
                .single(&[(UP, "1x9 0 1x40")]),
        )
}

fn instance_missing() -> Alert {
    let [epro, ctms] = [site::JOB, site::CTMS_JOB].map(|job| format!("absent(up{{job=\"{job}\"}})"));
    let other = r#"up{job="ctms",instance="c:9465"}"#;
    Alert::page("InstanceMissing", "process", format!("{epro} or {ctms}"))
        .hold("5m")
        .when("Prometheus knows no instance of a job for 5 min", "InstanceDown needs a target: where discovery finds none, no series tells of it.")
        .says(
            "Prometheus knows no instance of {{ $labels.job }}",
            "No target of the job {{ $labels.job }} is there: none runs, or discovery or scrape configuration have lost it. Every other alert about it is blind.",
        )
        .see("platform", "service-overview", "Instances down")
        .proven(
            Proof::new(&[(UP, "1x9 _x30 1x30"), (other, "1x90")], ["9m", "30m", "50m"])
                .labels(&[("job", "epro-notify")])
                .idle(&[(UP, "1x90"), (other, "1x90")])
                .single(&[(UP, "1x9 _ 1x80"), (other, "1x90")]),
        )
}

fn crash_loop() -> Alert {
    let start = r#"process_start_time_seconds{job="epro-notify",instance="a:9464"}"#;
    Alert::page("CrashLoop", "process", format!("changes(process_start_time_seconds{{{}}}[30m]) >= 3", ours()))
        .when("three restarts within 30 min", "A deploy is one restart, a deploy and its rollback are two. Between crashes it may answer each scrape, so that InstanceDown stays quiet.")
        .says(
            "{{ $labels.job }} at {{ $labels.instance }} restarts again and again",
            "{{ $value }} starts within 30 minutes. Each one recovers what the one before left, and callers see refused connections.",
        )
        .see("platform", "service-overview", "Uptime")
        .proven(
            Proof::new(&[(start, "100x9 700 800 900 1000x90")], ["9m", "15m", "60m"])
                .labels(INSTANCE)
                .shown("4")
                .idle(&[(start, "100x90")])
                .single(&[(start, "100x9 700x90")]),
        )
}

fn task_panicked() -> Alert {
    let panics =
        format!(r#"{}{{job="epro-notify",instance="a:9464",task="rate-limit"}}"#, names::TASK_PANICS);
    Alert::ticket("TaskPanicked", "process", format!("{}{{{}}} > 0", names::TASK_PANICS, ours()))
        .when("a background task has panicked, until the restart", "A task that panicked is not started again, so this stays until the process ends. What the service cannot live without ends it at once, and is seen as a restart.")
        .says(
            "A background task of {{ $labels.job }} at {{ $labels.instance }} is gone",
            "The task {{ $labels.task }} panicked and does not come back before a restart. It is a defect: its ERROR line has the place.",
        )
        .see("platform", "runtime-telemetry", "Panics of background tasks")
        .proven(
            Proof::new(&[(&panics, "0x9 1x20 0x20")], ["9m", "15m", "40m"])
                .labels(&[("job", "epro-notify"), ("instance", "a:9464"), ("task", "rate-limit")])
                .idle(&[(&panics, "0x60")])
                .no_single(Inapplicable::OneIsEnough),
        )
}

fn versions_differ() -> Alert {
    let build = |instance, version| {
        format!(
            r#"{}{{job="epro-notify",instance="{instance}",version="{version}",commit="c{version}"}}"#,
            names::BUILD_INFO
        )
    };
    let (old, older, new) = (build("a:9464", "1.0"), build("b:9464", "1.0"), build("a:9464", "1.1"));
    Alert::ticket(
        "VersionsDiffer",
        "process",
        format!("count by (job) (count by (job, version, commit) ({}{{{}}})) > 1", names::BUILD_INFO, ours()),
    )
    .hold("2h")
    .when(
        "a job runs more than one build for 2 h",
        "A careful roll-out takes less; after that somebody has forgotten half of it.",
    )
    .says(
        "{{ $labels.job }} runs several builds",
        "{{ $value }} builds of {{ $labels.job }} have run side by side for two hours.",
    )
    .see("platform", "service-overview", "Builds that run")
    .proven(
        Proof::new(
            &[(&old, "1x30 _x400"), (&older, "1x200 _x200"), (&new, "_x31 1x400")],
            ["30m", "180m", "260m"],
        )
        .labels(&[("job", "epro-notify")])
        .shown("2")
        .idle(&[(&old, "1x400"), (&older, "1x400")]),
    )
}
