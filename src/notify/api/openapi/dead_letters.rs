//! What waits for a person.

use super::{
    DEAD_LETTERS, ID, about_one,
    bodies::{Accepted, Limit, Which},
    notifications::job,
};
use crate::{
    notify::api::{REPLAY, dead_letters, problems, view},
    platform::{
        http::{Problem, openapi::Operation},
        queue::{JobId, Status},
    },
};
use axum::http::Method;
use serde_json::json;

pub fn operations() -> Vec<Operation> {
    vec![list(), replay()]
}

fn list() -> Operation {
    let page = json!({ "items": [view::dead_letter(&job(Status::Dead))], "nextCursor": ID });
    Operation::new(
        Method::GET,
        dead_letters::PATH,
        "listDeadLetters",
        DEAD_LETTERS,
        "List what waits for a person",
    )
    .about("Newest first.")
    .in_query::<Which>(
        "status",
        "Those that were refused for good, or those whose outcome nobody knows.",
        json!("dead"),
    )
    .in_query::<Limit>("limit", "How many items a page may have.", json!(50))
    .in_query::<JobId>("cursor", "The `nextCursor` of the page before.", json!(ID))
    .answers::<super::bodies::DeadLetters>(200, "A page.", page)
    .link(200, "replayDeadLetter", "id", "items/0/id")
    .link(200, "getNotification", "id", "items/0/id")
    .link(200, "resolveNotification", "id", "items/0/id")
    .link(200, "replayDeadLetter", "id", "items/0/id")
    .link(200, "getNotification", "id", "items/0/id")
    .link(200, "resolveNotification", "id", "items/0/id")
    .problems([Problem::invalid(Vec::new()), problems::store_unavailable()])
}

fn replay() -> Operation {
    let operation =
        Operation::new(Method::POST, REPLAY, "replayDeadLetter", DEAD_LETTERS, "Queue a dead letter again");
    about_one(operation)
        .about("It has all its attempts again, and a deadline as long as its first; its history stays.")
        .answers::<Accepted>(202, "It is queued.", json!({ "id": ID, "status": "accepted" }))
        .problems([
            dead_letters::no_such_dead_letter(),
            dead_letters::not_a_dead_letter(),
            problems::store_unavailable(),
            problems::commit_unknown(),
        ])
}
