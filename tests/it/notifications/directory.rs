//! The contact directory.

use crate::support::prelude::*;

const CONTACT: &str = "/api/v1/patients/p-1";

#[test]
fn a_contact_is_made_shown_replaced_and_forgotten() {
    let service = Site::new().start();
    let contact = json!({
        "phone": "+4930901820",
        "pushTokens": [{ "platform": "fcm", "token": "abc:def" }],
        "timeZone": "Europe/Berlin",
        "locale": "de-DE",
    });
    let made = service.ask("PUT", CONTACT, &contact.to_string());
    assert_eq!((made.status, made.json()), (201, contact.clone()));
    assert_eq!(service.get(CONTACT).json(), contact);
    let replaced = service.ask("PUT", CONTACT, r#"{"phone":"+447911123456"}"#);
    assert_eq!(replaced.status, 200);
    assert_eq!(service.get(CONTACT).json(), json!({ "phone": "+447911123456", "pushTokens": [] }));
    assert_eq!(service.ask("DELETE", CONTACT, "").status, 204);
    service.get(CONTACT).problem(404, "not-found");
    service.ask("DELETE", CONTACT, "").problem(404, "not-found");
}

#[test]
fn a_contact_that_cannot_be_is_refused_with_every_fault() {
    let service = Site::new().start();
    let wrong = json!({
        "phone": "4930901820",
        "pushTokens": [{ "platform": "fcm", "token": "" }],
        "timeZone": "Berlin time",
        "locale": "german language",
    });
    let refused = service.ask("PUT", CONTACT, &wrong.to_string());
    refused.problem(422, "invalid");
    assert_eq!(refused.pointers(), ["/locale", "/phone", "/pushTokens/0/token", "/timeZone"]);
    for wrong in [
        r#"{"pushTokens":[{"platform":"fcm","token":"a"},{"platform":"fcm","token":"a"}]}"#,
        r#"{"pushTokens":[{"platform":"pigeon","token":"a"}]}"#,
        r#"{"pushTokens":[["fcm","a"]]}"#,
    ] {
        service.ask("PUT", CONTACT, wrong).problem(422, "invalid");
    }
    service.get(CONTACT).problem(404, "not-found");
}
