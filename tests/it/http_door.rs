//! Who is refused at the door is told of like everybody else: one line, one span, one count, one problem.

use crate::http_answers::{Case, is_told_once};
use epro_notify::{
    config::Config,
    platform::{
        admission::{Admission, Needs},
        auth::{Key, Keys},
        limits::{Clock, Limiter, Surface},
    },
};
use http::{HeaderMap, HeaderValue, header};
use std::time::Duration;

const KNOWN: &str = "Bearer a-key";

/// Requests and the doors that they come to.
pub fn cases() -> Vec<(Case, Admission)> {
    let request = |authorization: &str| format!("GET /things/1 HTTP/1.1\r\n{authorization}\r\n");
    let known = request(&format!("Authorization: {KNOWN}\r\n"));
    let case = |request: &String, status| (request.clone(), status, "GET", "/things/{id}");
    vec![
        (case(&known, 200), door("read", false)),
        (case(&known, 403), door("send", false)),
        (case(&known, 429), door("read", true)),
        (case(&request(""), 401), door("read", false)),
        (case(&request("Authorization: Bearer another\r\n"), 401), door("read", false)),
        (case(&request("Authorization: Basic YTpi\r\n"), 401), door("read", false)),
    ]
}

/// One that lets one key in once, since its clock stands still; not now, if somebody was let in before.
fn door(scopes: &str, used: bool) -> Admission {
    let once = [("limits.per_client.burst", "1"), ("limits.per_client.rate", "1")];
    let limits = Config::for_tests(&once).unwrap().limits;
    let key = Key::of("caller".parse().unwrap(), scopes.parse().unwrap(), "a-key");
    let limiter = Limiter::with_clock(&limits, Clock::new(|| Duration::ZERO));
    let door = Admission::new(Keys::of(vec![key]), limiter, &limits);
    if used {
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(KNOWN))]);
        assert!(door.ask(&headers, [127, 0, 0, 1].into(), Needs::Key, Surface::Http).verdict.is_ok());
    }
    door
}

#[tokio::test]
async fn each_answer_at_the_door_is_counted_once_logged_once_and_traced_once() {
    for (case, door) in cases() {
        let answer = is_told_once(&case, Some(door)).await;
        let status = answer.status;
        for header in ["x-ratelimit-limit", "x-ratelimit-remaining", "ratelimit", "ratelimit-policy"] {
            assert!(answer.header(header).is_some(), "{status}: {header}");
        }
        assert_eq!(answer.header("retry-after").is_some(), status == 429, "{answer:?}");
        assert_eq!(answer.header("www-authenticate").is_some(), matches!(status, 401 | 403), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        if status != 200 {
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert_eq!(answer.json()["status"], status);
        }
    }
}
