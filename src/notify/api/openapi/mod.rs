//! The domain's part of the API's description: an operation for each of its routes. Shapes are in
//! `bodies` and `words`; the examples of answers are made by the code that makes the answers.

mod bodies;
mod dead_letters;
mod notifications;
mod patients;
mod send;
mod studies;
mod study_bodies;
mod words;

use crate::{
    notify::model::PatientId,
    platform::{
        http::{Problem, openapi::Operation},
        queue::JobId,
    },
};
use std::str::FromStr;

/// The groups that the operations are shown in.
pub const TAGS: &[(&str, &str)] = &[
    (SEND, "Messages to patients, later or while the caller waits."),
    (NOTIFICATIONS, "What became of a message; cancelling it, and judging it."),
    (DEAD_LETTERS, "What could not be delivered, and waits for a person."),
    (STUDIES, "Enrolment, and messages to everybody who is enrolled."),
    (PATIENTS, "The contact directory."),
];

const SEND: &str = "send";
const NOTIFICATIONS: &str = "notifications";
const DEAD_LETTERS: &str = "dead letters";
const STUDIES: &str = "studies";
const PATIENTS: &str = "patients";

/// All operations of the domain.
pub fn operations() -> Vec<Operation> {
    [
        send::operations(),
        notifications::operations(),
        dead_letters::operations(),
        studies::operations(),
        patients::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The notification that the examples are about.
const ID: &str = "0sahnpdaw0000";
/// When it was accepted, Unix milliseconds.
const ACCEPTED: i64 = 1_795_417_814_359;
const TRACE: &str = "00-44d1b382a0661d0fefc239c0bffbb70f-2aeb128055eabac0-01";

/// An example's value, written as a caller writes it.
#[expect(clippy::expect_used, reason = "an example is a constant, and a test makes every one")]
fn example<T: FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("an example is valid")
}

/// Takes the id of a notification or a job in its path.
fn about_one(operation: Operation) -> Operation {
    operation.in_path::<JobId>("id", "The id of a notification, or of one of its jobs.", ID)
}

fn about_patient(operation: Operation) -> Operation {
    operation
        .in_path::<PatientId>("patientId", "The caller's own identifier of the patient.", "p-17")
        .problems([Problem::invalid(Vec::new()).detail("The patientId in the path is not valid.")])
}
