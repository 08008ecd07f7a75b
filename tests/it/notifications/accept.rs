//! Accepting: answers, refusals, and that nothing is kept of what was refused.

use super::{PUSH_BODY, REACHABLE};
use crate::support::{gateway::RawGateway, prelude::*};

#[test]
fn an_accepted_sms_is_answered_shown_and_delivered() {
    let service = Site::new().start();
    let accepted = service.ask("POST", ASYNC, MESSAGE);
    let id = accepted.text("id");
    assert_eq!((accepted.status, accepted.json()), (202, json!({ "id": id, "status": "accepted" })));
    assert_eq!(accepted.header("location"), Some(&*format!("/api/v1/notifications/{id}")));
    let shown = service.until_status(&id, "delivered");
    let told = ["id", "channel", "priority"].map(|name| shown[name].as_str().unwrap());
    assert_eq!(told, [&*id, "sms", "normal"]);
    assert_eq!(shown["traceId"], accepted.trace_id());
    let [attempt] = &shown["attempts"].as_array().unwrap()[..] else { panic!("{shown}") };
    assert_eq!((&attempt["outcome"], &attempt["provider"]), (&json!("delivered"), &json!("console")));
    assert!(attempt["at"].as_str().unwrap().ends_with('Z') && attempt["durationMs"].is_u64(), "{attempt}");
    assert!(shown.get("message").is_none() && shown.get("patientId").is_none(), "{shown}");
    let lines = service.told("request", 2);
    let line = lines.iter().find(|line| line["fields"]["route"] == ASYNC).unwrap();
    assert_eq!(line["fields"]["id"], json!(id), "{line}");
}

#[test]
fn a_repeat_gets_the_first_answer_although_its_patient_is_gone() {
    let gateway = RawGateway::start();
    let service = Site::sending_to_url(&gateway.url()).start_with_patient();
    let first = service.keyed("key-1", ASYNC, MESSAGE);
    assert_eq!(service.ask("DELETE", "/api/v1/patients/p-1", "").status, 204);
    let again = service.keyed("key-1", ASYNC, MESSAGE);
    assert_eq!((again.status, &again.body, replayed(&again)), (202, &first.body, true));
    service.keyed("key-2", ASYNC, MESSAGE).problem(422, "no-contact");
}

#[test]
fn without_a_contact_a_real_provider_refuses_and_keeps_nothing() {
    let gateway = RawGateway::start();
    let service = Site::sending_to_url(&gateway.url()).pushing_to(&gateway.url()).start();
    service.ask("POST", ASYNC, MESSAGE).problem(422, "no-contact");
    service.ask("POST", SYNC, MESSAGE).problem(422, "no-contact");
    // A phone is no device.
    service.contact("p-1", PATIENT);
    service.ask("POST", PUSH, PUSH_BODY).problem(422, "no-contact");
    assert_eq!(service.ledger().of("accepted"), 0);
    let refused = service.metrics().sum("notification_refused_total", &[("reason", "no_contact")]);
    assert_eq!(refused, 3);
}

#[test]
fn every_fault_is_told_at_once_and_no_value_repeated() {
    let service = Site::new().start();
    let wrong = json!({
        "patientId": "canary 4711", "message": "", "priority": "canary", "sendAt": "canary", "notAfter": 5, "colour": "red",
    });
    let refused = service.ask("POST", ASYNC, &wrong.to_string());
    refused.problem(422, "invalid");
    // Faults of types come first, and may hide those of values.
    let pointers = refused.pointers();
    assert!(!pointers.is_empty(), "{refused:?}");
    let told = service.ask("POST", ASYNC, r#"{"patientId":"canary 4711","message":""}"#);
    told.problem(422, "invalid");
    assert_eq!(told.pointers(), ["/message", "/patientId"]);
    let past = r#"{"patientId":"p-1","message":"x","notAfter":"2020-01-01T00:00:00Z"}"#;
    assert_eq!(service.ask("POST", ASYNC, past).pointers(), ["/notAfter"]);
    let said = refused.body + &told.body;
    assert!(!said.contains("canary") && !said.contains("4711"), "{said}");
    // A caller who waits has nothing to plan.
    let planned = r#"{"patientId":"p-1","message":"x","sendAt":"2030-01-01T00:00:00Z"}"#;
    service.ask("POST", SYNC, planned).problem(422, "invalid");
    assert_eq!(service.ledger().of("accepted"), 0);
}

#[test]
fn no_problem_repeats_a_value_that_looks_like_a_message_of_the_parser() {
    let service = Site::new().start();
    for wrong in [
        "canary", "x, expected canary", "must canary", "missing field `canary", "x: canary at line 1",
        "`canary`",
    ] {
        for name in ["status", "limit", "cursor"] {
            let query = format!("/api/v1/dead-letters?{name}={}", wrong.replace(' ', "%20"));
            let refused = service.get(&query);
            refused.problem(422, "invalid");
            assert!(!refused.body.contains("canary"), "{query}: {refused:?}");
        }
        for field in ["patientId", "message", "priority", "sendAt", "notAfter"] {
            for value in [json!(wrong), json!([wrong]), json!({ "x": wrong })] {
                let mut body = json!({ "patientId": "", "message": "\u{0}" });
                body[field] = value;
                let refused = service.ask("POST", ASYNC, &body.to_string());
                refused.problem(422, "invalid");
                assert!(!refused.body.contains("canary"), "{body}: {refused:?}");
            }
        }
        let path = format!("/api/v1/patients/{}", wrong.replace(' ', "%20").replace('`', "%60"));
        let answer = service.ask("PUT", &path, "[]");
        assert!(answer.status == 422 && !answer.body.contains("canary"), "{path}: {answer:?}");
    }
    let named = service.get("/api/v1/dead-letters?limit=1&canary=canary-value");
    named.problem(422, "invalid");
    assert!(!named.body.contains("canary-value"), "{named:?}");
}

#[test]
fn a_push_is_one_job_for_each_device_and_one_on_the_console_without() {
    let service = Site::new().start();
    let path = format!("{PUSH}/async");
    let alone = service.ask("POST", &path, PUSH_BODY);
    assert_eq!(alone.json()["jobs"], json!([{ "id": alone.text("id"), "status": "accepted" }]));
    service.contact("p-1", REACHABLE);
    let both = service.ask("POST", &path, PUSH_BODY);
    assert_eq!((both.status, both.json()["jobs"].as_array().unwrap().len()), (202, 2));
    let shown = service.until_status(&both.text("id"), "delivered");
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 2);
    assert_eq!(service.until_drained().of("accepted"), 3, "the ledger counts jobs");
}
