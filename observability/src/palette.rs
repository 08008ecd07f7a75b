//! Colours by meaning: the same thing has the same colour on every dashboard.
//!
//! Green is well, red is failed, orange is refused for a good reason, yellow is waiting or in between, purple is
//! not known, grey is of no concern. What has no meaning here is coloured by Grafana in turn.

/// One of Grafana's named colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    Good,
    Waiting,
    Refused,
    Failed,
    Unknown,
    /// A fact that is neither good nor bad.
    Fact,
    Second,
    Third,
    Fourth,
    Fifth,
    Sixth,
    Unconcerned,
    /// A shade of Grafana's, as `semi-dark-green`, where one meaning has several series.
    Shade(&'static str),
}

impl Colour {
    /// As Grafana calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "green",
            Self::Waiting => "yellow",
            Self::Refused => "orange",
            Self::Failed => "red",
            Self::Unknown => "purple",
            Self::Fact => "blue",
            Self::Second => "super-light-blue",
            Self::Third => "light-purple",
            Self::Fourth => "semi-dark-purple",
            Self::Fifth => "semi-dark-blue",
            Self::Sixth => "light-blue",
            Self::Unconcerned => "#8e8e8e",
            Self::Shade(name) => name,
        }
    }
}

/// What a label's value, or a legend that is one word, stands for.
type Meaning = (&'static str, &'static str);

/// Answers of HTTP, shaded so that those of one class can be told apart in a stack.
const STATUS: &[Meaning] = &[
    ("200", "green"),
    ("201", "semi-dark-green"),
    ("202", "light-green"),
    ("204", "dark-green"),
    ("304", "super-light-green"),
    ("400", "light-yellow"),
    ("401", "light-purple"),
    ("403", "semi-dark-purple"),
    ("404", "yellow"),
    ("408", "semi-dark-orange"),
    ("409", "super-light-yellow"),
    ("413", "dark-yellow"),
    ("415", "semi-dark-yellow"),
    ("422", "light-orange"),
    ("429", "orange"),
    ("500", "dark-red"),
    ("501", "super-light-red"),
    ("502", "semi-dark-red"),
    ("503", "red"),
    ("504", "light-red"),
];

const GRPC_CODE: &[Meaning] = &[
    ("OK", "green"),
    ("CANCELLED", "#8e8e8e"),
    ("NOT_FOUND", "yellow"),
    ("INVALID_ARGUMENT", "light-orange"),
    ("UNAUTHENTICATED", "light-purple"),
    ("PERMISSION_DENIED", "semi-dark-purple"),
    ("RESOURCE_EXHAUSTED", "orange"),
    ("UNKNOWN", "super-light-red"),
    ("DEADLINE_EXCEEDED", "light-red"),
    ("UNAVAILABLE", "red"),
    ("INTERNAL", "dark-red"),
    ("DATA_LOSS", "semi-dark-red"),
];

const OUTCOME: &[Meaning] = &[
    ("ok", "green"),
    ("success", "green"),
    ("delivered", "green"),
    ("exported", "green"),
    ("written", "green"),
    ("found", "green"),
    ("queued", "yellow"),
    ("retry", "yellow"),
    ("parked", "orange"),
    ("expired", "semi-dark-orange"),
    ("cancelled", "#8e8e8e"),
    ("unknown", "purple"),
    ("unknown_key", "light-purple"),
    ("forbidden", "semi-dark-purple"),
    ("dropped", "semi-dark-red"),
    ("failed", "red"),
    ("failure", "red"),
    ("dead", "red"),
];

const STATE: &[Meaning] = &[
    ("up", "green"),
    ("closed", "green"),
    ("running", "green"),
    ("delivered", "green"),
    ("new", "yellow"),
    ("half_open", "yellow"),
    ("queued", "yellow"),
    ("ready", "blue"),
    ("accepted", "blue"),
    ("scheduled", "super-light-blue"),
    ("expired", "semi-dark-orange"),
    ("cancelled", "#8e8e8e"),
    ("unknown", "purple"),
    ("down", "red"),
    ("open", "red"),
    ("dead", "red"),
];

const DECISION: &[Meaning] = &[("allowed", "green"), ("limited", "orange")];
const SURFACE: &[Meaning] = &[("http", "blue"), ("grpc", "light-purple")];
const PRIORITY: &[Meaning] = &[("urgent", "light-purple"), ("normal", "blue"), ("bulk", "super-light-blue")];
const CHANNEL: &[Meaning] = &[("sms", "blue"), ("push", "light-purple")];
const OPERATION: &[Meaning] = &[("accept", "blue"), ("begin", "light-purple"), ("complete", "green")];
const LISTENER: &[Meaning] = &[("http", "blue"), ("grpc", "light-purple"), ("admin", "#8e8e8e")];
const SIGNAL: &[Meaning] =
    &[("latency", "blue"), ("queue_age", "light-purple"), ("in_flight", "super-light-blue")];
const QUANTILE: &[Meaning] = &[("P50", "super-light-blue"), ("P95", "blue"), ("P99", "light-purple")];
const SOURCE: &[Meaning] =
    &[("http", "blue"), ("grpc", "light-purple"), ("live", "green"), ("cache", "yellow"), ("none", "red")];

/// The colours of a label's values; none where they mean nothing.
pub(crate) fn of_label(label: &str) -> &'static [Meaning] {
    match label {
        "status" => STATUS,
        "grpc_code" => GRPC_CODE,
        "outcome" => OUTCOME,
        "state" | "to" => STATE,
        "decision" => DECISION,
        "surface" => SURFACE,
        "source" => SOURCE,
        "priority" => PRIORITY,
        "channel" => CHANNEL,
        "operation" => OPERATION,
        "listener" => LISTENER,
        "signal" => SIGNAL,
        _ => &[],
    }
}

/// The colour of a legend that is itself one of these words.
pub(crate) fn of_word(word: &str) -> Option<&'static str> {
    [QUANTILE, OUTCOME, STATE, DECISION, SURFACE, PRIORITY, CHANNEL, OPERATION, STATUS, GRPC_CODE]
        .iter()
        .flat_map(|table| table.iter())
        .find(|(value, _)| *value == word)
        .map(|(_, colour)| *colour)
}
