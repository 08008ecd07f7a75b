//! The cases themselves are tried: each change of a rule makes one of them fail, so that none passes whatever
//! the rule says.

use super::{proven, rules};
use observability::rules::alert::{Alert, Severity};

/// Alerts on objectives are of one form, and days of samples take promtool seconds: each threshold is changed in
/// those of one objective, and in the others all at once.
const WHOLLY: &str = "AcceptAvailability";

#[test]
fn no_changed_alert_on_a_cause_passes_the_cases_of_the_real_one() {
    assert_eq!(survivors(|alert| alert.component != "slo"), Vec::<String>::new());
}

#[test]
fn no_changed_alert_on_an_objective_passes_the_cases_of_the_real_one() {
    assert_eq!(survivors(|alert| alert.component == "slo"), Vec::<String>::new());
}

fn survivors(which: impl Fn(&Alert) -> bool + Sync) -> Vec<String> {
    rules::faults(|alert| {
        let survived = |(what, mutant): (String, Alert)| {
            let said = proven(&format!("mutant-{}", alert.name), &rules::alone(mutant), alert);
            said.content.then(|| format!("{}: {what}", alert.name))
        };
        let mutants = if which(alert) { mutants(alert) } else { Vec::new() };
        mutants.into_iter().filter_map(survived).collect()
    })
}

fn mutants(alert: &Alert) -> Vec<(String, Alert)> {
    let changed = |what: String, change: &dyn Fn(&mut Alert)| {
        let mut mutant = alert.clone();
        change(&mut mutant);
        (what, mutant)
    };
    let mut mutants = vec![
        changed("never".to_owned(), &|alert| alert.expr = format!("({}) unless on () vector(1)", alert.expr)),
        changed("another severity".to_owned(), &|alert| {
            let page = alert.severity == Severity::Page;
            alert.severity = if page { Severity::Ticket } else { Severity::Page };
        }),
    ];
    if alert.severity != Severity::None {
        mutants.push(changed("a hundred times its patience".to_owned(), &|alert| {
            if let Some(minutes) = alert.hold.strip_suffix('m') {
                alert.hold = Box::leak(format!("{minutes}00m").into_boxed_str());
            } else {
                alert.hold = "100d";
            }
        }));
    }
    let comparisons = comparisons(&alert.expr);
    for (nth, (at, operator)) in comparisons.iter().enumerate() {
        let sign = if operator.starts_with('<') { "-" } else { "" };
        let (before, after) = alert.expr.split_at(at + operator.len());
        let expr = format!("{before} {sign}1e15 + {after}");
        mutants.push(changed(format!("threshold {} out of reach", nth + 1), &|alert| {
            alert.expr.clone_from(&expr)
        }));
    }
    if !comparisons.is_empty() {
        let expr = comparisons.iter().rev().fold(alert.expr.clone(), |expr, (at, operator)| {
            let sign = if operator.starts_with('<') { "" } else { "-" };
            let (before, after) = expr.split_at(*at);
            let operator_now = if *operator == "==" || *operator == "!=" { ">" } else { *operator };
            format!("{before}{operator_now} {sign}1e15 + {}", after.split_at(operator.len()).1)
        });
        mutants.push(changed("every threshold passed".to_owned(), &|alert| alert.expr.clone_from(&expr)));
    }
    if alert.component == "slo" && !alert.name.starts_with(WHOLLY) {
        mutants.retain(|(what, _)| ["never", "every threshold passed"].contains(&&**what));
    }
    mutants
}

/// Where the comparisons are, and which.
fn comparisons(expr: &str) -> Vec<(usize, &'static str)> {
    let mut found: Vec<_> = [">", "<", ">=", "<=", "==", "!="]
        .into_iter()
        .flat_map(|operator| {
            expr.match_indices(&format!(" {operator} "))
                .map(move |(at, _)| (at + 1, operator))
                .collect::<Vec<_>>()
        })
        .collect();
    found.sort_unstable();
    found
}
