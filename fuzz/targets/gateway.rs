//! What a gateway answers.

use super::first_line;
use epro_notify::{notify::meaning_of_answer, platform::queue::Outcome};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::time::Duration;

/// A line with the status, and one with `Retry-After`: a wait is a second to an hour.
pub fn answer(bytes: &[u8]) {
    let (status, after) = first_line(bytes);
    let Ok(status) = StatusCode::from_bytes(status) else { return };
    let mut headers = HeaderMap::new();
    headers.extend(HeaderValue::from_bytes(after).ok().map(|after| (header::RETRY_AFTER, after)));
    match meaning_of_answer(status, &headers) {
        Outcome::Parked { after, .. } | Outcome::Retry { after, .. } => {
            let bounds = Duration::from_secs(1)..=Duration::from_secs(3600);
            assert!(after.is_none_or(|after| bounds.contains(&after)), "{after:?}");
        }
        Outcome::Delivered => assert!(status.is_success()),
        Outcome::Dead { .. } | Outcome::Unknown { .. } => assert!(!status.is_success()),
    }
}
