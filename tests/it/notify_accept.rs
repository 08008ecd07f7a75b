//! What the accepting calls promise: answers, idempotency, refusals.

use crate::support::{gateway::Gateway, notify::Domain, queue::config};
use axum::http::Method;
use epro_notify::{
    notify::config::ProviderConfig,
    platform::{queue::config::QueueConfig, store::LedgerState},
};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};

fn sms() -> Value {
    json!({ "patientId": "p-1", "message": "Your visit is tomorrow" })
}

#[tokio::test]
async fn an_accepted_sms_is_answered_shown_and_delivered() {
    let domain = Domain::console().await;
    let accepted = domain.post("/notifications/sms/async", &sms()).await;
    assert_eq!(accepted.status, 202);
    let id = accepted.id();
    assert_eq!(accepted.body, json!({ "id": id, "status": "accepted" }));
    assert_eq!(accepted.header("location"), Some(&*format!("/api/v1/notifications/{id}")));
    let shown = domain.until(&id, "delivered").await;
    assert_eq!(
        (&shown["id"], &shown["channel"], &shown["priority"]),
        (&json!(id), &json!("sms"), &json!("normal"))
    );
    assert_eq!(shown["traceId"].as_str().unwrap().len(), 32);
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 1);
    assert_eq!((&attempts[0]["outcome"], &attempts[0]["provider"]), (&json!("delivered"), &json!("console")));
    assert!(attempts[0]["at"].as_str().unwrap().ends_with('Z') && attempts[0]["durationMs"].is_u64());
    assert!(shown.get("message").is_none() && shown.get("patientId").is_none());
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_and_creates_nothing() {
    let domain = Domain::console().await;
    let first = domain.keyed("key-1", "/notifications/sms/async", &sms()).await;
    let again = domain.keyed("key-1", "/notifications/sms/async", &sms()).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(
        (first.header("idempotency-replayed"), again.header("idempotency-replayed")),
        (None, Some("true"))
    );
    assert_eq!(domain.ledger().get(LedgerState::Accepted), 1);
    let other = domain
        .keyed("key-1", "/notifications/sms/async", &json!({ "patientId": "p-1", "message": "x" }))
        .await;
    other.is_problem(422, "idempotency-key-reused");
    let elsewhere = domain.keyed("key-1", "/notifications/sms", &sms()).await;
    assert_eq!((elsewhere.status, elsewhere.header("idempotency-replayed")), (200, None));
}

#[tokio::test]
async fn a_repeat_gets_the_first_answer_although_its_patient_is_gone() {
    let (_gateway, http) = Gateway::start().await;
    let domain = Domain::started(http, ProviderConfig::Console).await;
    domain.put("/patients/p-1", &json!({ "phone": "+4930901820" })).await;
    let first = domain.keyed("key-1", "/notifications/sms/async", &sms()).await;
    assert_eq!(domain.delete("/patients/p-1").await.status, 204);
    let again = domain.keyed("key-1", "/notifications/sms/async", &sms()).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    domain.keyed("key-2", "/notifications/sms/async", &sms()).await.is_problem(422, "no-contact");
}

#[tokio::test]
async fn without_a_contact_a_real_provider_refuses_and_keeps_nothing() {
    let ((_sms, http), (_push, http_push)) = (Gateway::start().await, Gateway::start().await);
    let domain = Domain::started(http, http_push).await;
    domain.post("/notifications/sms/async", &sms()).await.is_problem(422, "no-contact");
    domain.post("/notifications/sms", &sms()).await.is_problem(422, "no-contact");
    // A phone is no device.
    domain.put("/patients/p-1", &json!({ "phone": "+4930901820" })).await;
    let push = json!({ "patientId": "p-1", "title": "Visit", "message": "Tomorrow" });
    domain.post("/notifications/push/async", &push).await.is_problem(422, "no-contact");
    assert_eq!(domain.ledger().get(LedgerState::Accepted), 0);
}

#[tokio::test]
async fn every_fault_is_told_at_once_and_no_value_repeated() {
    let domain = Domain::console().await;
    let wrong = json!({
        "patientId": "canary 4711", "message": "", "priority": "canary", "sendAt": "canary", "notAfter": 5, "colour": "red",
    });
    let refused = domain.post("/notifications/sms/async", &wrong).await;
    refused.is_problem(422, "invalid");
    assert_eq!(
        refused.pointers(),
        ["/colour", "/message", "/notAfter", "/patientId", "/priority", "/sendAt"]
    );
    assert!(!refused.body.to_string().contains("canary"), "{refused:?}");
    // A caller who waits has nothing to plan.
    let planned = json!({ "patientId": "p-1", "message": "x", "sendAt": "2030-01-01T00:00:00Z" });
    domain.post("/notifications/sms", &planned).await.is_problem(422, "invalid");
    let past = json!({ "patientId": "p-1", "message": "x", "notAfter": "2020-01-01T00:00:00Z" });
    domain.post("/notifications/sms/async", &past).await.is_problem(422, "invalid");
}

#[tokio::test]
async fn a_full_backlog_is_refused_with_a_time_to_come_back() {
    let small = QueueConfig { max_backlog: 1, ..config() };
    let domain = Domain::open(ProviderConfig::Console, ProviderConfig::Console, small).await;
    assert_eq!(domain.post("/notifications/sms/async", &sms()).await.status, 202);
    let refused = domain.post("/notifications/sms/async", &sms()).await;
    refused.is_problem(503, "backlog-full");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(domain.ledger().get(LedgerState::Accepted), 1);
}

#[tokio::test]
async fn a_push_is_one_job_for_each_device_and_one_on_the_console_without() {
    let domain = Domain::console().await;
    let push = json!({ "patientId": "p-1", "title": "Visit", "message": "Tomorrow" });
    let alone = domain.post("/notifications/push/async", &push).await;
    assert_eq!(alone.body["jobs"], json!([{ "id": alone.id(), "status": "accepted" }]));
    let tokens = json!([{ "platform": "fcm", "token": "one" }, { "platform": "apns", "token": "two" }]);
    domain.put("/patients/p-1", &json!({ "pushTokens": tokens })).await;
    let both = domain.post("/notifications/push/async", &push).await;
    assert_eq!((both.status, both.body["jobs"].as_array().unwrap().len()), (202, 2));
    let shown = domain.until(&both.id(), "delivered").await;
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn no_body_is_answered_with_a_server_error() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let domain = runtime.block_on(Domain::console());
    let near = "\\{\"patientId\":\"[a-z]{0,3}\",\"message\":(\"[a-z]{0,3}\"|[0-9]{1,3}|null),\"(sendAt|title|priority)\":\"[0-9TZ:-]{0,20}\"\\}";
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(100));
    let bodies = (vec(any::<u8>(), 0..100), near);
    let answered = runner.run(&bodies, |(bytes, near)| {
        for body in [String::from_utf8_lossy(&bytes).into_owned(), near] {
            for path in ["/notifications/sms/async", "/notifications/push/async"] {
                let call = domain.call(Method::POST, path, &[("content-type", "application/json")], &body);
                let status = runtime.block_on(call).status;
                prop_assert!(status < 500, "{status}");
            }
        }
        Ok(())
    });
    answered.unwrap();
}
