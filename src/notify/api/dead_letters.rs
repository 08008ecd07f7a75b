//! The jobs that wait for a person: listed, and queued again.

use super::{Api, json_response, notifications::about, path::IdInPath, problems, view};
use crate::platform::{
    http::{Fault, Problem},
    queue::{DeadLetters, JobId},
};
use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use serde_json::{Value, json};
use std::sync::Arc;

pub const PATH: &str = "/api/v1/dead-letters";
/// Items of a page when the caller does not say, and the most.
const USUAL_PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// A page, newest first: `{"items":[…],"nextCursor":…}`. The cursor is the last item's id.
pub async fn list(api: State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let Page { which, before, limit } = Page::read(query.as_deref().unwrap_or_default())?;
    // One more than asked for tells whether there is a next page.
    let found = api.queue.dead_letters(which, before, limit + 1).await;
    let mut jobs = found.map_err(|error| problems::unread(&error))?;
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| more).map(|last| last.id.to_string());
    let items: Vec<Value> = jobs.iter().map(view::dead_letter).collect();
    Ok(json_response(StatusCode::OK, &json!({ "items": items, "nextCursor": next })))
}

/// Queues a dead or unknown job again; its history stays.
pub async fn replay(api: State<Arc<Api>>, IdInPath(id): IdInPath) -> Result<Response, Problem> {
    match api.queue.replay(id).await.map_err(|error| problems::unwritten(&error))? {
        None => Err(no_such_dead_letter()),
        Some(Err(_)) => Err(not_a_dead_letter()),
        Some(Ok(())) => {
            Ok(about(id, StatusCode::ACCEPTED, &json!({ "id": id.to_string(), "status": "accepted" })))
        }
    }
}

pub fn no_such_dead_letter() -> Problem {
    Problem::not_found("There is no dead letter of this id.")
}

pub fn not_a_dead_letter() -> Problem {
    Problem::conflict("not-a-dead-letter", "Only what is dead or unknown can be replayed.")
}

/// What the query asks for.
#[derive(Debug, PartialEq)]
struct Page {
    which: DeadLetters,
    before: Option<JobId>,
    limit: usize,
}

impl Page {
    /// None of the values needs percent-encoding, so none is decoded.
    fn read(query: &str) -> Result<Self, Problem> {
        let mut page = Self { which: DeadLetters::Dead, before: None, limit: USUAL_PAGE };
        let mut faults = Vec::new();
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let read = match name {
                _ if seen.contains(&name) => Err("given more than once".to_owned()),
                "status" => which(value).map(|which| page.which = which),
                "cursor" => cursor(value).map(|id| page.before = Some(id)),
                "limit" => limit(value).map(|limit| page.limit = limit),
                _ => Err("is not known; known are cursor, limit, status".to_owned()),
            };
            seen.push(name);
            faults.extend(read.err().map(|detail| Fault { pointer: place(name), detail }));
        }
        if faults.is_empty() { Ok(page) } else { Err(Problem::invalid(faults)) }
    }
}

/// The query's parameters, as if they were a body's fields; an unknown one's name is not repeated.
fn place(name: &str) -> String {
    let known = ["cursor", "limit", "status"].into_iter().find(|known| *known == name);
    known.map(|name| format!("/{name}")).unwrap_or_default()
}

fn which(value: &str) -> Result<DeadLetters, String> {
    match value {
        "dead" => Ok(DeadLetters::Dead),
        "unknown" => Ok(DeadLetters::Unknown),
        _ => Err("must be dead or unknown".to_owned()),
    }
}

fn cursor(value: &str) -> Result<JobId, String> {
    value.parse().map_err(|_| "must be the nextCursor of a page".to_owned())
}

fn limit(value: &str) -> Result<usize, String> {
    // Digits alone: `parse` also takes a sign.
    let digits = value.bytes().all(|byte| byte.is_ascii_digit());
    let limit = value.parse().ok().filter(|limit| digits && (1..=LARGEST_PAGE).contains(limit));
    limit.ok_or_else(|| format!("must be 1 to {LARGEST_PAGE}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_query_is_a_page_or_a_problem(query in "[ -~]{0,60}", near in "(cursor|limit|status)=[a-z0-9]{0,15}&limit=[0-9]{0,25}") {
            for query in [query, near] {
                if let Ok(page) = Page::read(&query) {
                    prop_assert!((1..=LARGEST_PAGE).contains(&page.limit));
                }
            }
        }
    }

    #[test]
    fn a_query_says_which_and_how_many() {
        let page = Page::read("status=unknown&&limit=2").unwrap();
        assert_eq!(page, Page { which: DeadLetters::Unknown, before: None, limit: 2 });
        assert_eq!(Page::read("").unwrap().limit, USUAL_PAGE);
        for bad in [
            "limit=0",
            "limit=+5",
            "limit=501",
            "status=live",
            "colour=red",
            "limit=1&limit=2",
            "cursor=!",
            "cursor=",
            "limit",
        ] {
            assert_eq!(Page::read(bad).unwrap_err().status(), StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
        }
    }
}
