//! The contact directory.

use super::{PATIENTS, about_patient, bodies::Contact, example};
use crate::{
    notify::{
        api::{PATIENT, patients, problems},
        model::{self, Platform, PushToken},
    },
    platform::http::openapi::Operation,
};
use axum::http::Method;
use serde_json::Value;

pub fn operations() -> Vec<Operation> {
    let of = |method, id, summary| {
        let operation = Operation::new(method, PATIENT, id, PATIENTS, summary);
        about_patient(operation).problems([problems::store_unavailable()])
    };
    vec![
        of(Method::PUT, "putPatient", "Make or replace a contact")
            .about("With provider `console` no contact is needed; any other refuses patients who have none.")
            .body::<Contact>("The whole contact.", &[("complete", contact())])
            .answers::<Contact>(200, "It replaced one.", contact())
            .answers::<Contact>(201, "It is new.", contact())
            .problems([problems::commit_unknown()]),
        of(Method::GET, "getPatient", "See a contact")
            .answers::<Contact>(200, "The contact.", contact())
            .problems([patients::no_such_patient()]),
        of(Method::DELETE, "deletePatient", "Forget a contact")
            .answers_nothing(204, "It is forgotten.")
            .problems([patients::no_such_patient(), problems::commit_unknown()]),
    ]
}

fn contact() -> Value {
    let token = PushToken::new(Platform::Fcm, "dGhpcyBpcyBub3QgYSB0b2tlbg");
    patients::show(&model::Contact {
        phone: Some(example("+4930901820")),
        push_tokens: token.into_iter().collect(),
        time_zone: Some(example("Europe/Berlin")),
        locale: Some(example("de-DE")),
    })
}
