//! What telemetry shows of the domain, and what it must never show.

use crate::support::{
    gateway::{Act, Gateway},
    notify::Domain,
    seen::Seen,
};
use serde_json::json;

#[tokio::test]
async fn every_outcome_is_counted_and_there_from_the_start() {
    let seen = Seen::begin();
    let (gateway, http) = Gateway::start().await;
    let domain = Domain::started(http, epro_notify::notify::config::ProviderConfig::Console).await;
    for outcome in ["delivered", "retry", "parked", "dead", "unknown"] {
        let series = format!(
            "notification_attempts_total{{channel=\"sms\",provider=\"http\",outcome=\"{outcome}\"}} 0"
        );
        assert!(seen.page().contains(&series), "{series}");
    }
    for reason in ["invalid", "no_contact", "backlog_full", "store_unavailable", "shed"] {
        assert!(
            seen.page().contains(&format!("notification_refused_total{{reason=\"{reason}\"}} 0")),
            "{reason}"
        );
    }
    domain.post("/notifications/sms/async", &json!({})).await.is_problem(422, "invalid");
    domain
        .post("/notifications/sms/async", &json!({ "patientId": "p", "message": "x" }))
        .await
        .is_problem(422, "no-contact");
    domain.put("/patients/p", &json!({ "phone": "+4930901820" })).await;
    gateway.will(&[Act::Answer(500)]);
    let id = domain.post("/notifications/sms/async", &json!({ "patientId": "p", "message": "x" })).await.id();
    domain.until(&id, "delivered").await;
    let of = |name, label: &str| seen.metric(name, &[label]);
    assert_eq!(of("notification_refused_total", "reason=\"invalid\""), 1.0);
    assert_eq!(of("notification_refused_total", "reason=\"no_contact\""), 1.0);
    let sms = ["channel=\"sms\"", "priority=\"normal\""];
    assert_eq!(seen.metric("notification_accepted_total", &sms), 1.0);
    assert_eq!(seen.metric("notification_finished_total", &[sms[0], sms[1], "outcome=\"delivered\""]), 1.0);
    assert_eq!(seen.metric("notification_attempts_total", &[sms[0], "outcome=\"retry\""]), 1.0);
    assert_eq!(seen.metric("notification_end_to_end_duration_seconds_count", &sms), 1.0);
    assert_eq!(
        seen.metric("notification_attempt_duration_seconds_count", &[sms[0], "provider=\"http\""]),
        2.0
    );
}

#[tokio::test]
async fn the_access_line_names_the_notification() {
    let seen = Seen::begin();
    let domain = Domain::console().await;
    let id = domain.post("/notifications/sms/async", &json!({ "patientId": "p", "message": "x" })).await.id();
    let line = seen.lines().pop().unwrap();
    assert_eq!((line.get("id"), &*line["route"]), (Some(&id), "/api/v1/notifications/sms/async"));
}
