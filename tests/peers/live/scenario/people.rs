//! The directory, studies, and everything that is refused: for what it says, for whom it is, and to spare us.

use super::super::{
    caller::{Caller, until_told},
    stack::{Member, Stack},
};
use chassis_test::ask;
use serde_json::{Value, json};

/// A patient with a telephone and an app, three in a study, and one who left no address.
pub fn arrive(stack: &Stack) {
    for one in &stack.instances {
        let caller = one.caller();
        for patient in 1..=3 {
            let token = json!([{ "platform": "fcm", "token": format!("token-{patient}") }]);
            let contact = json!({ "phone": "+4930901820", "pushTokens": token });
            caller.expect(201, "PUT", &format!("/patients/p-{patient}"), &contact);
            caller.ask("PUT", &format!("/studies/s-1/patients/p-{patient}"), "");
        }
        caller.get("/patients/p-1");
        for path in ["/notifications/nowhere", "/patients/p-4"] {
            caller.expect(404, "GET", path, &Value::Null);
        }
    }
}

pub fn refused(stack: &Stack) {
    for one in &stack.instances {
        let caller = one.caller();
        let post = |status, path: &str, body: Value| drop(caller.expect(status, "POST", path, &body));
        post(422, "/notifications/sms/async", json!({ "patientId": "p-1", "message": "" }));
        post(422, "/notifications/sms/async", json!({ "patientId": "nobody", "message": "hello" }));
        batch(&caller, 202);
        shed(&caller, one);
        one.until_counted("notification_refused_total", &[("reason", "shed")]);
    }
}

fn batch(caller: &Caller, status: u16) {
    let body = json!({ "channel": "sms", "message": "A new questionnaire is there" });
    let answer = caller.expect(status, "POST", "/studies/s-1/notifications", &body);
    if status == 202 {
        caller.get(&format!("/batches/{}", answer.text("batchId")));
    }
}

/// Every feature that can be given up is, by an operator's hand.
fn shed(caller: &Caller, one: &Member) {
    let report = json!({ "patientId": "p-1", "content": "all is well" });
    let id = caller.expect(201, "POST", "/reports", &report).text("reportId");
    let preview = format!("/reports/{id}/preview.pdf");
    until_told("a preview is drawn again", || caller.ask("GET", &preview, "").status == 200);
    pin(one, json!(3));
    caller.expect(503, "GET", &preview, &Value::Null);
    caller.expect(503, "GET", "/patients/p-1/reports/latest", &Value::Null);
    batch(caller, 503);
    caller.expect(201, "POST", "/reports", &report);
    pin(one, json!("auto"));
    one.until("degradation_level", &[], 0);
}

/// An operator's hand on the level of degradation.
pub fn pin(one: &Member, level: Value) {
    let body = json!({ "level": level }).to_string();
    let answer = ask(one.service().admin, "PUT", "/degradation", &body).unwrap();
    assert!((200..300).contains(&answer.status), "{answer:?}");
}
