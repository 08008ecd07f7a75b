//! A report: how it arrives, and how it is kept and shown.

use crate::model::{Moment, PatientId};
use garde::Validate;
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What the patient reports: 1 to 32,768 bytes of UTF-8, which may be fewer characters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(transparent)]
#[schema(min_length = 1, max_length = 32768, example = "Pain 3 of 10; slept well.")]
pub struct Content(#[garde(length(bytes, min = 1, max = Self::MAX_BYTES))] String);

impl Content {
    /// 32 KiB.
    pub const MAX_BYTES: usize = 32 * 1024;

    /// For what was checked before, or is checked by whoever takes it in.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_inner(self) -> String {
        self.0
    }
}

/// Hides the text.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content(…)")
    }
}

/// A report to submit.
#[derive(Clone, Debug, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewReport {
    #[garde(dive)]
    pub patient_id: PatientId,
    #[garde(dive)]
    pub content: Content,
}

/// A report that is committed and synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubmittedReport)]
pub struct Submitted {
    #[schema(pattern = "^[0-7][0-9a-hjkmnp-tv-z]{12}$", example = "0sahp1kzg0000")]
    pub report_id: String,
    pub submitted_at: Moment,
}

/// A report as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    #[schema(pattern = "^[0-7][0-9a-hjkmnp-tv-z]{12}$", example = "0sahp1kzg0000")]
    pub report_id: String,
    pub content: Content,
    pub submitted_at: Moment,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(body: serde_json::Value) -> Vec<String> {
        let report: NewReport = serde_json::from_value(body).unwrap();
        let faults = report.validate().err().map(garde::Report::into_inner).unwrap_or_default();
        faults.into_iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn content_is_counted_in_bytes_and_its_bounds_are_inside() {
        for (content, faulty) in [
            ("ä".repeat(16 * 1024), false),
            ("ä".repeat(16 * 1024 + 1), true),
            ("a".repeat(32 * 1024), false),
            ("a".repeat(32 * 1024 + 1), true),
            (String::new(), true),
            ("\0".to_owned(), false),
        ] {
            let expected: &[&str] = if faulty { &["content"] } else { &[] };
            assert_eq!(faults(serde_json::json!({"patientId": "p-1", "content": content})), expected);
        }
        assert_eq!(faults(serde_json::json!({"patientId": "..", "content": ""})), ["content", "patient_id"]);
    }

    #[test]
    fn debug_shows_no_value() {
        let body = serde_json::json!({"patientId": "canary-4711", "content": "canary 4711"});
        let report: NewReport = serde_json::from_value(body).unwrap();
        assert!(!format!("{report:?}").contains("4711"));
    }
}
