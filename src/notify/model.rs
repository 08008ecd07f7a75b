//! The sample domain's words: values that cannot be invalid once they are there.
//!
//! Each is read by [`FromStr`](std::str::FromStr), and says in [`Invalid`] what would be right without repeating what it
//! was given. None shows a patient's value by `Debug`, so that none reaches a log line or a span.
//! How they travel (JSON, SQL, a job's payload) is not here.

mod contact;
mod time;

pub use contact::{Contact, Locale, Phone, Platform, PushToken, TimeZone};
pub use time::{Moment, Schedule, ScheduleFault};

pub use crate::platform::checked::Invalid;
use crate::platform::{
    checked::{IDENTIFIER_MOST, checked_text, is_identifier},
    queue::Priority,
};

checked_text!(
    /// Whose notification it is: the caller's own identifier of the patient.
    PatientId,
    "must be 1 to 64 characters out of letters, digits, '.', '_' and '-'",
    is_identifier
);

checked_text!(
    /// Which study a patient is enrolled in: the caller's own identifier of it.
    StudyId,
    "must be 1 to 64 characters out of letters, digits, '.', '_' and '-'",
    is_identifier
);

checked_text!(
    /// What the patient reads. Characters are Unicode scalar values.
    Message,
    "must be 1 to 1600 characters",
    |text| has_chars(text, Message::MOST)
);

checked_text!(
    /// The head of a push notification.
    Title,
    "must be 1 to 120 characters",
    |text| has_chars(text, Title::MOST)
);

impl PatientId {
    /// Characters.
    pub const MOST: usize = IDENTIFIER_MOST;
}

impl StudyId {
    /// Characters.
    pub const MOST: usize = PatientId::MOST;
}

impl Message {
    /// Characters.
    pub const MOST: usize = 1600;
}

impl Title {
    /// Characters.
    pub const MOST: usize = 120;
}

/// Whether `text` has 1 to `most` characters; looks at no more of it than it has to.
fn has_chars(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most * 4 && text.chars().count() <= most
}

/// The way a notification takes to the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel {
    Sms,
    Push,
}

impl Channel {
    pub const ALL: [Self; 2] = [Self::Sms, Self::Push];

    /// The label under which queue and metrics know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Push => "push",
        }
    }

    /// The channel of a label; `None` for a label that is not ours.
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.as_str() == label)
    }
}

/// Reads a priority's word.
pub fn parse_priority(word: &str) -> Result<Priority, Invalid> {
    let known = Priority::ALL.into_iter().find(|priority| priority.as_str() == word);
    known.ok_or(Invalid("must be one of urgent, normal, bulk"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_patient_id_is_what_the_contract_says(text in "[A-Za-z0-9._-]{1,64}") {
            let id: PatientId = text.parse().unwrap();
            prop_assert_eq!(id.as_str(), text);
        }

        #[test]
        fn anything_else_is_no_patient_id(text in any::<String>()) {
            let right = (1..=64).contains(&text.chars().count())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
            prop_assert_eq!(text.parse::<PatientId>().is_ok(), right);
            prop_assert_eq!(text.parse::<StudyId>().is_ok(), right);
        }

        #[test]
        fn texts_are_counted_in_characters(text in "\\PC{0,130}") {
            let count = text.chars().count();
            prop_assert_eq!(text.parse::<Title>().is_ok(), (1..=120).contains(&count));
            prop_assert_eq!(text.parse::<Message>().is_ok(), count >= 1);
        }

        #[test]
        fn only_three_words_are_priorities(word in any::<String>()) {
            prop_assert_eq!(parse_priority(&word).is_ok(), ["urgent", "normal", "bulk"].contains(&word.as_str()));
        }
    }

    #[test]
    fn the_bounds_themselves_are_inside() {
        assert!("ä".repeat(1600).parse::<Message>().is_ok());
        assert!("😀".repeat(1601).parse::<Message>().is_err());
        assert!("😀".repeat(120).parse::<Title>().is_ok());
        assert!("a".repeat(64).parse::<PatientId>().is_ok());
        assert!("a".repeat(65).parse::<PatientId>().is_err());
        assert_eq!(parse_priority("urgent"), Ok(Priority::Urgent));
    }

    #[test]
    fn debug_and_faults_show_no_value() {
        let canary = "canary-4711";
        let shown = format!(
            "{:?} {:?} {:?} {:?} {:?}",
            canary.parse::<PatientId>(),
            canary.parse::<StudyId>(),
            canary.parse::<Message>(),
            canary.parse::<Title>(),
            "canary 4711".parse::<PatientId>(),
        );
        assert!(!shown.contains("4711"), "{shown}");
    }
}
