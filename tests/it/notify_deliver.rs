//! What delivery through a gateway promises, asynchronously and while the caller waits.

use crate::support::{
    gateway::{Act, Gateway},
    notify::Domain,
};
use epro_notify::{notify::config::ProviderConfig, platform::store::LedgerState};
use serde_json::{Value, json};

fn sms() -> Value {
    json!({ "patientId": "p-1", "message": "Your visit is tomorrow" })
}

fn push() -> Value {
    json!({ "patientId": "p-1", "title": "Visit", "message": "Tomorrow" })
}

/// A domain whose one patient has a phone and two devices, and the gateway of both channels.
async fn reachable() -> (Domain, Gateway) {
    let (gateway, http) = Gateway::start().await;
    let domain = Domain::started(http.clone(), http).await;
    let tokens = json!([{ "platform": "fcm", "token": "one" }, { "platform": "apns", "token": "two" }]);
    let put = domain.put("/patients/p-1", &json!({ "phone": "+4930901820", "pushTokens": tokens })).await;
    assert_eq!(put.status, 201);
    (domain, gateway)
}

#[tokio::test]
async fn a_gateway_gets_the_message_with_the_jobs_id_as_its_key() {
    let (domain, gateway) = reachable().await;
    let id = domain.post("/notifications/sms/async", &sms()).await.id();
    domain.until(&id, "delivered").await;
    let [received] = &gateway.received()[..] else { panic!("not one message") };
    assert_eq!(received.key, id);
    assert_eq!(received.body, json!({ "id": id, "to": "+4930901820", "text": "Your visit is tomorrow" }));
}

#[tokio::test]
async fn a_failing_gateway_is_tried_again_with_the_same_key() {
    let (domain, gateway) = reachable().await;
    gateway.will(&[Act::Answer(503), Act::Answer(500)]);
    let id = domain.post("/notifications/sms/async", &sms()).await.id();
    let shown = domain.until(&id, "delivered").await;
    let outcomes: Vec<_> =
        shown["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["outcome"]).collect();
    assert_eq!(outcomes, ["retry", "retry", "delivered"]);
    assert!(gateway.received().iter().all(|received| received.key == id));
}

#[tokio::test]
async fn a_permanent_refusal_is_a_dead_letter() {
    let (domain, gateway) = reachable().await;
    gateway.will(&[Act::Answer(404)]);
    let id = domain.post("/notifications/sms/async", &sms()).await.id();
    let shown = domain.until(&id, "dead").await;
    assert_eq!(shown["reason"], "status_404");
}

#[tokio::test]
async fn a_patient_who_went_away_is_not_written_to() {
    let (gateway, http) = Gateway::start().await;
    let domain = Domain::open(http, ProviderConfig::Console, crate::support::queue::config()).await;
    domain.put("/patients/p-1", &json!({ "phone": "+4930901820" })).await;
    let id = domain.post("/notifications/sms/async", &sms()).await.id();
    domain.delete("/patients/p-1").await;
    domain.start();
    let shown = domain.until(&id, "dead").await;
    assert_eq!(shown["reason"], "no_contact");
    assert!(gateway.received().is_empty());
}

#[tokio::test]
async fn who_waits_is_told_of_a_delivery() {
    let (domain, gateway) = reachable().await;
    let answered = domain.post("/notifications/sms", &sms()).await;
    assert_eq!(
        (answered.status, &answered.body),
        (200, &json!({ "id": answered.id(), "status": "delivered" }))
    );
    assert_eq!(gateway.received().len(), 1);
}

#[tokio::test]
async fn who_waits_is_told_of_a_failure_which_is_not_retried() {
    let (domain, gateway) = reachable().await;
    for status in [500, 429, 404] {
        gateway.will(&[Act::Answer(status)]);
        let answered = domain.keyed(&format!("key-{status}"), "/notifications/sms", &sms()).await;
        answered.is_problem(502, "notification-dead");
        assert_eq!(answered.body["outcome"], "dead");
        domain.until(&answered.id(), "dead").await;
        let again = domain.keyed(&format!("key-{status}"), "/notifications/sms", &sms()).await;
        assert_eq!((again.status, again.id()), (502, answered.id()));
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    assert_eq!(gateway.received().len(), 3);
    assert_eq!(domain.ledger().get(LedgerState::Dead), 3);
}

#[tokio::test]
async fn who_waits_is_told_when_nobody_knows_and_a_repeat_meanwhile_that_it_is_in_flight() {
    let (domain, gateway) = reachable().await;
    gateway.will(&[Act::Silence]);
    let body = sms();
    let first = domain.keyed("key-1", "/notifications/sms", &body);
    let meanwhile = async {
        while gateway.received().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        domain.keyed("key-1", "/notifications/sms", &body).await
    };
    let (first, meanwhile) = tokio::join!(first, meanwhile);
    meanwhile.is_problem(409, "in-flight");
    first.is_problem(504, "notification-unknown");
    assert_eq!(domain.until(&first.id(), "unknown").await["reason"], "timeout");
}

#[tokio::test]
async fn a_push_that_reached_any_device_is_delivered() {
    let (domain, gateway) = reachable().await;
    gateway.will(&[Act::Answer(404), Act::Answer(200)]);
    let answered = domain.post("/notifications/push", &push()).await;
    assert_eq!((answered.status, &answered.body["status"]), (200, &json!("delivered")));
    let mut statuses: Vec<_> =
        answered.body["jobs"].as_array().unwrap().iter().map(|job| &job["status"]).collect();
    statuses.sort_by_key(|status| status.as_str());
    assert_eq!(statuses, ["dead", "delivered"]);
    assert_eq!(domain.get(&format!("/notifications/{}", answered.id())).await.body["status"], "delivered");
}

#[tokio::test]
async fn a_push_that_reached_none_is_unknown_if_one_may_have_been() {
    let (domain, gateway) = reachable().await;
    gateway.will(&[Act::Silence, Act::Answer(404)]);
    let answered = domain.post("/notifications/push", &push()).await;
    answered.is_problem(504, "notification-unknown");
    assert_eq!(answered.body["jobs"].as_array().unwrap().len(), 2);
    gateway.will(&[Act::Answer(404), Act::Answer(500)]);
    domain.post("/notifications/push", &push()).await.is_problem(502, "notification-dead");
}
