//! What the contact directory promises.

use crate::support::notify::Domain;
use serde_json::json;

#[tokio::test]
async fn a_contact_is_made_shown_replaced_and_forgotten() {
    let domain = Domain::console().await;
    let contact = json!({
        "phone": "+4930901820",
        "pushTokens": [{ "platform": "fcm", "token": "abc:def" }],
        "timeZone": "Europe/Berlin",
        "locale": "de-DE",
    });
    let made = domain.put("/patients/p-1", &contact).await;
    assert_eq!((made.status, &made.body), (201, &contact));
    assert_eq!(domain.get("/patients/p-1").await.body, contact);
    let replaced = domain.put("/patients/p-1", &json!({ "phone": "+447911123456" })).await;
    assert_eq!(replaced.status, 200);
    let shown = domain.get("/patients/p-1").await.body;
    assert_eq!(shown, json!({ "phone": "+447911123456", "pushTokens": [] }));
    assert_eq!(domain.delete("/patients/p-1").await.status, 204);
    domain.get("/patients/p-1").await.is_problem(404, "not-found");
    domain.delete("/patients/p-1").await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_contact_that_cannot_be_is_refused_with_every_fault() {
    let domain = Domain::console().await;
    let wrong = json!({
        "phone": "4930901820",
        "pushTokens": [{ "platform": "pigeon", "token": "a" }, { "platform": "fcm", "token": "" }],
        "timeZone": "Berlin time",
        "locale": "german language",
    });
    let refused = domain.put("/patients/p-1", &wrong).await;
    refused.is_problem(422, "invalid");
    assert_eq!(
        refused.pointers(),
        ["/locale", "/phone", "/pushTokens/0/platform", "/pushTokens/1/token", "/timeZone"]
    );
    let twice =
        json!({ "pushTokens": [{ "platform": "fcm", "token": "a" }, { "platform": "fcm", "token": "a" }] });
    domain.put("/patients/p-1", &twice).await.is_problem(422, "invalid");
    domain.put("/patients/p%201", &json!({})).await.is_problem(422, "invalid");
    domain.get("/patients/p-1").await.is_problem(404, "not-found");
}
