//! What a person can do with notifications: look, cancel, replay, judge.

use crate::support::{
    gateway::{Act, Gateway},
    notify::Domain,
    queue::config,
};
use epro_notify::{
    notify::config::ProviderConfig,
    platform::{
        queue::config::{OnUnknown, QueueConfig, RetryConfig},
        store::LedgerState,
    },
};
use serde_json::{Value, json};

fn sms() -> Value {
    json!({ "patientId": "p-1", "message": "Your visit is tomorrow" })
}

async fn reachable(on_unknown: OnUnknown) -> (Domain, Gateway) {
    let (gateway, http) = Gateway::start().await;
    let held = QueueConfig { retry: RetryConfig { on_unknown, ..config().retry }, ..config() };
    let domain = Domain::open(http, ProviderConfig::Console, held).await;
    domain.start();
    domain.put("/patients/p-1", &json!({ "phone": "+4930901820" })).await;
    (domain, gateway)
}

#[tokio::test]
async fn what_has_not_begun_can_be_cancelled_once() {
    let domain = Domain::console().await;
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
    let planned =
        json!({ "patientId": "p-1", "message": "x", "priority": "urgent", "sendAt": later.to_string() });
    let id = domain.post("/notifications/sms/async", &planned).await.id();
    let shown = domain.get(&format!("/notifications/{id}")).await.body;
    assert_eq!((&shown["status"], &shown["priority"]), (&json!("accepted"), &json!("urgent")));
    assert_eq!(shown["dueAt"], shown["nextAttemptAt"]);
    let cancelled = domain.delete(&format!("/notifications/{id}")).await;
    assert_eq!((cancelled.status, &cancelled.body["status"]), (200, &json!("cancelled")));
    domain.delete(&format!("/notifications/{id}")).await.is_problem(409, "not-cancellable");
    assert_eq!(domain.ledger().get(LedgerState::Cancelled), 1);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let domain = Domain::console().await;
    for path in ["/notifications/0000000000001", "/notifications/no-such-id", "/notifications/%ff"] {
        let status = domain.get(path).await.status;
        assert!(matches!(status, 404 | 400), "{path}: {status}");
    }
    domain.delete("/notifications/0000000000001").await.is_problem(404, "not-found");
    domain.post("/dead-letters/0000000000001/replay", &json!({})).await.is_problem(404, "not-found");
    let verdict = json!({ "status": "dead" });
    domain.post("/notifications/0000000000001/resolve", &verdict).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn dead_letters_are_paged_newest_first_and_replayed_with_their_history() {
    let (domain, gateway) = reachable(OnUnknown::Retry).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        gateway.will(&[Act::Answer(404)]);
        let id = domain.post("/notifications/sms/async", &sms()).await.id();
        domain.until(&id, "dead").await;
        ids.insert(0, id);
    }
    let first = domain.get("/dead-letters?limit=2").await.body;
    let items = first["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|item| item["id"].as_str().unwrap()).collect::<Vec<_>>(), ids[..2]);
    assert_eq!((&items[0]["reason"], &items[0]["channel"]), (&json!("status_404"), &json!("sms")));
    let next = format!("/dead-letters?limit=2&cursor={}", first["nextCursor"].as_str().unwrap());
    let second = domain.get(&next).await.body;
    assert_eq!((&second["items"][0]["id"], &second["nextCursor"]), (&json!(ids[2]), &Value::Null));

    let replay = format!("/dead-letters/{}/replay", ids[0]);
    let replayed = domain.post(&replay, &json!({})).await;
    assert_eq!((replayed.status, &replayed.body), (202, &json!({ "id": ids[0], "status": "accepted" })));
    let shown = domain.until(&ids[0], "delivered").await;
    assert_eq!(shown["attempts"][0]["outcome"], "dead");
    assert_eq!(shown["attempts"].as_array().unwrap().last().unwrap()["outcome"], "delivered");
    domain.post(&replay, &json!({})).await.is_problem(409, "not-a-dead-letter");
}

#[tokio::test]
async fn an_unknown_one_waits_for_a_persons_verdict() {
    let (domain, gateway) = reachable(OnUnknown::Hold).await;
    gateway.will(&[Act::Silence]);
    let id = domain.post("/notifications/sms/async", &sms()).await.id();
    domain.until(&id, "unknown").await;
    assert_eq!(domain.get("/dead-letters?status=unknown").await.body["items"][0]["id"], json!(id));
    assert_eq!(domain.get("/dead-letters").await.body["items"], json!([]));
    let resolve = format!("/notifications/{id}/resolve");
    domain.post(&resolve, &json!({ "status": "maybe" })).await.is_problem(422, "invalid");
    let resolved = domain.post(&resolve, &json!({ "status": "delivered" })).await;
    assert_eq!((resolved.status, &resolved.body), (200, &json!({ "id": id, "status": "delivered" })));
    let shown = domain.until(&id, "delivered").await;
    assert_eq!(shown["attempts"].as_array().unwrap().last().unwrap()["outcome"], "resolved_delivered");
    domain.post(&resolve, &json!({ "status": "dead" })).await.is_problem(409, "not-unknown");
}
