//! What is left out when there is too much to do: by hand, by itself, and what never is.

mod by_hand;
mod by_itself;

use crate::support::prelude::*;

/// What the admin listener answers about the level.
pub fn degradation(service: &Service, method: &str, body: &str) -> Answer {
    service.admin(method, "/degradation", body)
}

/// The level now.
pub fn level(service: &Service) -> u64 {
    degradation(service, "GET", "").json()["level"].as_u64().unwrap()
}

/// Sets the level by hand.
pub fn pin(service: &Service, level: &str) {
    let answer = degradation(service, "PUT", &format!(r#"{{"level":{level}}}"#));
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The seconds of a refusal for having too much to do.
pub fn shed_for(answer: &Answer) -> u64 {
    assert_eq!((answer.status, &*answer.text("type")), (503, "/problems/degraded"), "{answer:?}");
    answer.header("retry-after").unwrap().parse().unwrap()
}
