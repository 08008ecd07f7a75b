//! What a gateway answers.

use super::first_line;
use chassis_queue::Outcome;
use epro_notify::notifications::gateway::answer::{meaning, message_id};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::time::Duration;

/// A line with the status, and one with `Retry-After`: a wait is a second to an hour.
pub fn answer(bytes: &[u8]) {
    let (status, after) = first_line(bytes);
    let _ = message_id(after);
    let Ok(status) = StatusCode::from_bytes(status) else { return };
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_bytes(after).ok().map(|after| (header::RETRY_AFTER, after)));
    match meaning(status, &headers, false).outcome {
        Outcome::Snooze { after, .. } | Outcome::Retry { after, .. } => {
            let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
            assert!(after.is_none_or(|after| bounds.contains(&after)), "{after:?}");
        }
        Outcome::Completed { .. } => assert!(status.is_success()),
        _ => assert!(!status.is_success()),
    }
}
