//! Messages to studies, by the real program with a real gateway: enrolment, fan-out, what a crash in the
//! middle leaves, and what telemetry tells.

mod crash;
mod enrolment;
mod fan_out;
mod telling;

use crate::support::prelude::*;
use std::{net::SocketAddr, thread};

const SEND: &str = "/api/v1/studies/s-1/notifications";
const SMS: &str = r#"{"channel":"sms","message":"a reminder"}"#;
const TO_DEVICES: &str = r#"{"channel":"push","title":"Diary","message":"a reminder"}"#;
/// Callers at once, so that their commits go together.
const CALLERS: usize = 16;

/// A gateway for both channels, and where it is used.
fn site() -> (Gateway, Site) {
    let gateway = Gateway::start();
    let site = Site::sending_to(&gateway).pushing_to(&gateway.url());
    (gateway, site)
}

fn enrol(service: &Service, patient: &str) -> Answer {
    service.ask("PUT", &format!("/api/v1/studies/s-1/patients/{patient}"), "")
}

/// Enrols so many patients, each with a phone.
fn enrol_many(http: SocketAddr, patients: usize) {
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            scope.spawn(move || {
                let mut connection = Connection::open(http).unwrap();
                for number in (caller..patients).step_by(CALLERS) {
                    let put = |connection: &mut Connection, path: &str, body: &str| {
                        assert_eq!(connection.send("PUT", path, body).unwrap().status, 201);
                    };
                    put(&mut connection, &format!("/api/v1/patients/many-{number}"), PATIENT);
                    put(&mut connection, &format!("/api/v1/studies/s-1/patients/many-{number}"), "{}");
                }
            });
        }
    });
}

/// Sends to the study and returns the batch's id, of which so many were accepted.
fn send(service: &Service, body: &str, accepted: usize) -> String {
    let answer = service.ask("POST", SEND, body);
    assert_eq!((answer.status, &answer.json()["accepted"]), (202, &Value::from(accepted)), "{answer:?}");
    let id = answer.text("batchId");
    assert_eq!(answer.header("location"), Some(&*format!("/api/v1/batches/{id}")));
    id
}

fn batch(service: &Service, id: &str) -> Value {
    let answer = service.ask("GET", &format!("/api/v1/batches/{id}"), "");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Waits until the batch has come to its end, and returns it.
fn finished(service: &Service, id: &str) -> Value {
    until("the batch finishes", || Some(batch(service, id)).filter(|shown| shown["status"] == "finished"))
}
