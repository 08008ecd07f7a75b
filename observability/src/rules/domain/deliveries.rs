//! Whether what was accepted goes out, and what waits for a person.

use crate::{
    names,
    rules::{
        alert::Alert,
        proof::{Inapplicable, Proof},
    },
    site,
};

const JOB: &[(&str, &str)] = &[("job", "epro-notify")];

pub fn all() -> Vec<Alert> {
    vec![
        urgent_backlog_old(),
        normal_backlog_old(),
        bulk_backlog_old(),
        backlog_near_bound(),
        workers_saturated(),
        dead_letters_growing(),
        unknown_waiting(),
        ledger_out_of_balance(),
    ]
}

fn of(name: &str, more: &str) -> String {
    format!(r#"{name}{{job="epro-notify",instance="a:9464"{more}}}"#)
}

/// The oldest job of a priority is older than that, and not one instant of five minutes was without due jobs:
/// one that waits for its next attempt keeps its age, but is scheduled.
fn old(priority: &str, seconds: &str) -> String {
    format!(
        "max by (job) (\n  {}{{priority=\"{priority}\",job=\"{job}\"}} > {seconds}\n  and on (job, instance) min_over_time({}{{state=\"ready\",job=\"{job}\"}}[5m]) > 0\n)",
        names::QUEUE_OLDEST_JOB_AGE,
        names::QUEUE_JOBS,
        job = site::JOB,
    )
}

fn old_proof(priority: &str, age: &str, times: [&'static str; 3], shown: &'static str) -> Proof {
    let ages = of(names::QUEUE_OLDEST_JOB_AGE, &format!(",priority=\"{priority}\""));
    let ready = of(names::QUEUE_JOBS, ",state=\"ready\"");
    Proof::new(&[(&ages, &format!("0x19 {age}x100 0x60")), (&ready, "0x10 5x110 0x60")], times)
        .labels(JOB)
        .shown(shown)
        .idle(&[(&ages, "0x200"), (&ready, "0x200")])
        // One job that fails again and again, between others that do not wait.
        .single(&[(&ages, &format!("0x19 {age}x200")), (&ready, "0 0 1 0 2x3 0 1x3 0 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 1x3 0 0x200")])
}

fn urgent_backlog_old() -> Alert {
    Alert::page("UrgentBacklogOld", "queue", old("urgent", "120"))
        .hold("1m")
        .when("an urgent job is 2 min overdue while due jobs wait without a break for 5 min", "Twice the objective of 60 s. What never finishes is in no ratio of finished jobs, so this has to page. Jobs that a failing gateway parks are scheduled, not ready: GatewayBreakerOpen tells of them.")
        .says(
            "Urgent notifications wait at {{ $labels.job }}",
            "The oldest urgent one has been due for {{ $value | humanizeDuration }}, and due jobs pile up: the workers do not keep up or do not work.",
        )
        .see("deliveries", "notifications", "Oldest due job")
        .proven(old_proof("urgent", "200", ["19m", "60m", "150m"], "3m 20s"))
}

fn normal_backlog_old() -> Alert {
    Alert::page("NormalBacklogOld", "queue", old("normal", "900"))
        .hold("5m")
        .when("a normal job is 15 min overdue while due jobs wait without a break", "Three times the objective of 5 min, and later than urgent ones, which are taken first.")
        .says(
            "Notifications wait at {{ $labels.job }}",
            "The oldest normal one has been due for {{ $value | humanizeDuration }}, and due jobs pile up: the workers do not keep up or do not work.",
        )
        .see("deliveries", "notifications", "Oldest due job")
        .proven(old_proof("normal", "1000", ["19m", "60m", "150m"], "16m 40s"))
}

fn bulk_backlog_old() -> Alert {
    Alert::ticket("BulkBacklogOld", "queue", old("bulk", "4 * 3600"))
        .hold("15m")
        .when("a bulk job is 4 h overdue while due jobs wait without a break", "Nothing is promised for bulk, but jobs expire after 24 h by default: there is a working day to act.")
        .says(
            "Bulk notifications wait at {{ $labels.job }}",
            "The oldest bulk one has been due for {{ $value | humanizeDuration }}; by default a job expires after 24 hours.",
        )
        .see("deliveries", "notifications", "Oldest due job")
        .proven(old_proof("bulk", "15000", ["19m", "60m", "150m"], "4h 10m 0s"))
}

fn backlog_near_bound() -> Alert {
    let [ready, running] =
        ["ready", "running"].map(|state| of(names::QUEUE_JOBS, &format!(",state=\"{state}\"")));
    let expr = format!(
        "max by (job) (sum by (job, instance) ({}{{state=~\"ready|running\",job=\"{}\"}})) > 0.8 * {}",
        names::QUEUE_JOBS,
        site::JOB,
        site::MAX_BACKLOG
    );
    Alert::ticket("BacklogNearBound", "queue", expr)
        .hold("15m")
        .when("the due jobs are above 80 % of APP_QUEUE__MAX_BACKLOG for 15 min", "A study of 90,000 fills it at once, and is worked off in minutes with a gateway that is well. Once it is full, callers get 503 and the objective of accepting pages.")
        .says(
            "The backlog of {{ $labels.job }} is nearly full",
            "{{ $value | humanize }} due jobs have waited for 15 minutes; above the bound new ones are refused.",
        )
        .see("deliveries", "notifications", "Jobs in the queue")
        .proven(
            Proof::new(&[(&ready, "0x9 89900x30 0x60"), (&running, "0x9 100x30 0x60")], ["9m", "30m", "50m"])
                .labels(JOB)
                .shown("90k")
                .idle(&[(&ready, "0x100"), (&running, "0x100")]),
        )
}

fn workers_saturated() -> Alert {
    let [busy, all] = [names::WORKERS_BUSY, names::WORKERS].map(|name| of(name, ""));
    let expr = format!(
        "{}{{job=\"{job}\"}} / {}{{job=\"{job}\"}} > 0.9",
        names::WORKERS_BUSY,
        names::WORKERS,
        job = site::JOB
    );
    Alert::ticket("WorkersSaturated", "queue", expr)
        .hold("30m")
        .when("more than nine tenths of the workers are busy for 30 min", "Full workers are good while a study's message goes out. Half an hour without a free one is a gateway that slows or too few workers, and the backlog's age pages if it harms.")
        .says(
            "The workers of {{ $labels.instance }} are all busy",
            "{{ $value | humanizePercentage }} of the workers have been busy for half an hour.",
        )
        .see("deliveries", "notifications", "Workers")
        .proven(
            Proof::new(&[(&busy, "0x9 32x60 0x60"), (&all, "32x140")], ["9m", "60m", "90m"])
                .labels(&[("job", "epro-notify"), ("instance", "a:9464")])
                .shown("100%")
                .idle(&[(&busy, "0x140"), (&all, "32x140")])
                .single(&[(&busy, "0x9 32 0x140"), (&all, "32x150")]),
        )
}

fn dead_letters_growing() -> Alert {
    let dead = of(names::NOTIFICATION_FINISHED, ",channel=\"sms\",priority=\"bulk\",outcome=\"dead\"");
    let expr = format!(
        "sum by (job, channel) (increase({}{{outcome=\"dead\",job=\"{}\"}}[1h])) >= 20",
        names::NOTIFICATION_FINISHED,
        site::JOB
    );
    Alert::ticket("DeadLettersGrowing", "queue", expr)
        .when("20 jobs or more of a channel have died within 1 h", "Single ones are phones that are gone. Twenty have a cause in common, as a gateway that refuses our requests; urgent and normal ones page by their objectives.")
        .says(
            "Notifications over {{ $labels.channel }} die",
            "About {{ $value | humanize }} notifications have become dead letters within an hour: given up, and their patients know nothing.",
        )
        .see("deliveries", "notifications", "Dead letters")
        .proven(
            Proof::new(&[(&dead, "0x69 30x140")], ["69m", "80m", "140m"])
                .labels(&[("job", "epro-notify"), ("channel", "sms")])
                .shown("30")
                .idle(&[(&dead, "0x200")])
                .single(&[(&dead, "0x69 1x140")]),
        )
}

fn unknown_waiting() -> Alert {
    let unknown = of(names::NOTIFICATION_LEDGER_JOBS, ",state=\"unknown\"");
    let expr = format!(
        "max by (job) ({}{{state=\"unknown\",job=\"{}\"}}) > 0",
        names::NOTIFICATION_LEDGER_JOBS,
        site::JOB
    );
    Alert::ticket("UnknownJobsWaiting", "queue", expr)
        .hold("30m")
        .when("a job whose delivery nobody knows has waited for a person for 30 min", "Only a person can decide it, and one is enough: a patient may or may not have the message. Who sent it synchronously may decide it at once, so it has half an hour.")
        .says(
            "Notifications of {{ $labels.job }} wait for a person's verdict",
            "Of {{ $value | humanize }} notifications nobody knows whether they were delivered.",
        )
        .see("deliveries", "notifications", "Unknown, wait for a person")
        .proven(
            Proof::new(&[(&unknown, "0x9 3x60 0x60")], ["9m", "60m", "90m"])
                .labels(JOB)
                .shown("3")
                .idle(&[(&unknown, "0x140")])
                .no_single(Inapplicable::OneIsEnough),
        )
}

fn ledger_out_of_balance() -> Alert {
    let jobs =
        |states: &str| format!("{}{{state{states},job=\"{}\"}}", names::NOTIFICATION_LEDGER_JOBS, site::JOB);
    let state = |state: &str| of(names::NOTIFICATION_LEDGER_JOBS, &format!(",state=\"{state}\""));
    let expr = format!(
        "sum by (job, instance) ({})\n- sum by (job, instance) ({}) != 0",
        jobs("=\"accepted\""),
        jobs("!=\"accepted\"")
    );
    let (accepted, delivered, queued) = (state("accepted"), state("delivered"), state("queued"));
    Alert::page("LedgerOutOfBalance", "queue", expr)
        .hold("2m")
        .when("accepted is not the sum of all other states for 2 min", "The one promise that must never break: something that was accepted is in no state. The account is exact in every scrape; two minutes rule out a scrape that was cut off.")
        .says(
            "The ledger of {{ $labels.instance }} does not add up",
            "Accepted jobs less those in any other state: {{ $value }}. Above 0, so many were lost; below, counted twice.",
        )
        .see("deliveries", "notifications", "Ledger: unaccounted for")
        .proven(
            Proof::new(
                &[(&accepted, "100x9 110x80"), (&delivered, "90x9 97x19 100x60"), (&queued, "10x100")],
                ["9m", "20m", "40m"],
            )
            .labels(&[("job", "epro-notify"), ("instance", "a:9464")])
            .shown("3")
            .idle(&[(&accepted, "0x90"), (&delivered, "0x90"), (&queued, "0x90")])
            .no_single(Inapplicable::OneIsEnough),
        )
}
