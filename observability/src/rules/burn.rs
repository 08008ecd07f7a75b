//! The alerts on an objective: how fast its budget burns, over two windows each, and the proof of them.
//!
//! The rates are those of the SRE workbook ("Alerting on SLOs"): 14.4 burns 2 % of a month's budget in an hour,
//! 6 burns 5 % in six hours, 3 burns 10 % in a day, 1 all of it in a month. The short window ends the
//! alert soon after the failures end.

use crate::rules::{
    alert::{Alert, Severity},
    proof::{Inapplicable, Proof, Series, Story},
    slo::Slo,
};

/// A burn rate that both windows have to exceed.
struct Burn {
    short: &'static str,
    long: &'static str,
    seconds: u32,
    rate: &'static str,
}

const PAGE: [Burn; 2] = [
    Burn { short: "5m", long: "1h", seconds: 3600, rate: "14.4" },
    Burn { short: "30m", long: "6h", seconds: 21600, rate: "6" },
];
const TICKET: [Burn; 2] = [
    Burn { short: "2h", long: "1d", seconds: 86400, rate: "3" },
    Burn { short: "6h", long: "3d", seconds: 259_200, rate: "1" },
];

/// The one that wakes somebody, and the one that does not.
pub fn alerts(slo: &Slo) -> Vec<Alert> {
    vec![alert(slo, Severity::Page, &PAGE), alert(slo, Severity::Ticket, &TICKET)]
}

fn alert(slo: &Slo, severity: Severity, burns: &[Burn; 2]) -> Alert {
    let page = severity == Severity::Page;
    let name = format!("{}Burns{}", slo.alert, if page { "Fast" } else { "Slowly" });
    let either: Vec<_> = burns.iter().map(|burn| condition(slo, burn)).collect();
    let expr =
        format!("max without (sloth_window) (\n{}\n)", either.join("\n  or ignoring (sloth_window)\n"));
    let [one, other] = burns;
    let when = format!(
        "over {} and {} more than {} times of {} % fail, or over {} and {} more than {} times; at least {} failures",
        one.short,
        one.long,
        one.rate,
        percent(slo),
        other.short,
        other.long,
        other.rate,
        slo.least_failures
    );
    let mut alert = Alert::new(severity, &name, "slo", expr)
        .when(&when, slo.why_so_many)
        .says(
            &format!("{}: {}", slo.name, slo.harm),
            &format!(
                "{{{{ $value | humanizePercentage }}}} fail of what is promised at {} %: {}.",
                slo.percent, slo.promise
            ),
        )
        .see("slo", slo.panel.0, slo.panel.1);
    // The series of the objective have its other labels.
    alert.extra = vec![("sloth_severity", severity.name().to_owned())];
    alert.proof = if page { page_proof(slo) } else { ticket_proof(slo) };
    alert.proof.labels = slo.labels(None);
    alert
}

/// What may fail, in percent.
fn percent(slo: &Slo) -> f64 {
    (slo.budget() * 1e9).round() / 1e7
}

fn condition(slo: &Slo, burn: &Burn) -> String {
    let exceeded = |window| {
        let ratio = slo.series(&format!("slo:sli_error:ratio_rate{window}"));
        format!("    {ratio} > {} * {}", burn.rate, slo.budget())
    };
    let failures = slo.series(&format!("slo:sli_failures:rate{}", burn.long));
    let enough = format!("    {failures} * {} >= {}", burn.seconds, slo.least_failures);
    [exceeded(burn.short), exceeded(burn.long), enough].join("\n  and ignoring (sloth_window)\n")
}

/// Some samples, each with so many more events, of which a share fails: in budgets.
struct Phase {
    samples: u32,
    events: f64,
    budgets: f64,
}

const fn phase(samples: u32, events: f64, budgets: f64) -> Phase {
    Phase { samples, events, budgets }
}

/// The objective's series through these phases.
fn through(slo: &Slo, phases: &[Phase]) -> Series {
    slo.sample
        .iter()
        .map(|(name, good, failed)| (name.clone(), values(slo, phases, *good, *failed)))
        .collect()
}

fn values(slo: &Slo, phases: &[Phase], good: bool, failed: bool) -> String {
    let (mut at, mut parts) = (0.0, vec!["0".to_owned()]);
    for phase in phases {
        let failures = phase.events * phase.budgets * slo.budget();
        let step =
            f64::from(u8::from(good)) * (phase.events - failures) + f64::from(u8::from(failed)) * failures;
        parts.push(format!("{}+{step}x{}", at + step, phase.samples - 1));
        at += step * f64::from(phase.samples);
    }
    parts.join(" ")
}

/// A sample a minute, an evaluation every five. First a fast burn that six hours do not show yet, then a slow one that an hour does not show.
fn page_proof(slo: &Slo) -> Proof {
    let fast = [phase(400, 1000.0, 0.0), phase(20, 1000.0, 50.0), phase(120, 1000.0, 0.0)];
    let slow = [phase(400, 1000.0, 0.0), phase(300, 1000.0, 10.0), phase(120, 1000.0, 0.0)];
    let stories = vec![
        Story { series: through(slo, &fast), quiet: Some("400m"), fires: "420m", over: Some("440m") },
        Story { series: through(slo, &slow), quiet: Some("430m"), fires: "690m", over: Some("760m") },
    ];
    Proof {
        evaluated: "5m",
        stories,
        shown: if slo.objective > 0.995 { vec!["5%", "1%"] } else { vec!["50%", "10%"] },
        idle: through(slo, &[phase(900, 0.0, 0.0)]),
        single: Ok(one_in_two_hours(slo, 60, 12)),
        single_asked: vec!["365m", "380m", "410m"],
        ..Proof::new(&[], ["0m"; 3]).no_single(Inapplicable::State)
    }
}

/// A sample every two minutes, an evaluation every thirty. For the first story, three days ago there was more traffic.
fn ticket_proof(slo: &Slo) -> Proof {
    let fast = [
        phase(1320, 10_000.0, 0.0),
        phase(720, 1000.0, 0.0),
        phase(60, 1000.0, 45.0),
        phase(300, 1000.0, 0.0),
    ];
    let slow = [phase(2160, 1000.0, 0.0), phase(1800, 1000.0, 2.0), phase(400, 1000.0, 0.0)];
    let stories = vec![
        Story { series: through(slo, &fast), quiet: Some("4080m"), fires: "4200m", over: Some("4590m") },
        Story { series: through(slo, &slow), quiet: Some("4320m"), fires: "7890m", over: Some("8610m") },
    ];
    Proof {
        interval: "2m",
        evaluated: "30m",
        stories,
        shown: if slo.objective > 0.995 { vec!["4.5%", "0.2%"] } else { vec!["45%", "2%"] },
        idle: through(slo, &[phase(4000, 0.0, 0.0)]),
        single: Ok(one_in_two_hours(slo, 30, 12)),
        single_asked: vec!["390m", "420m", "600m"],
        ..Proof::new(&[], ["0m"; 3])
    }
}

/// One event in two hours each, of which the fourth, after six hours, fails. `samples` are an hour's.
fn one_in_two_hours(slo: &Slo, samples: u32, hours: u32) -> Series {
    let mut phases = Vec::new();
    for turn in 0..hours / 2 {
        let budgets = if turn == 2 { 1.0 / slo.budget() } else { 0.0 };
        phases.extend([phase(2 * samples - 1, 0.0, 0.0), phase(1, 1.0, budgets)]);
    }
    through(slo, &phases)
}
