//! The shapes of bodies and answers. They are read by [`super::super::submission`] and its like field by
//! field, and made in [`super::super::view`] and [`super::super::answer`]; schemathesis finds a drift.

#![expect(dead_code, reason = "they tell shapes, and are never made")]

use super::words::one_of;
use crate::{
    notify::model::{
        Channel, Locale, Message, Moment, PatientId, Phone, Platform, PushToken, TimeZone, Title,
    },
    platform::{
        http::openapi::text,
        queue::{JobId, Priority, Status, Verdict},
    },
};
use utoipa::{ToSchema, openapi::ObjectBuilder};

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SmsNow {
    patient_id: PatientId,
    message: Message,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SmsLater {
    patient_id: PatientId,
    message: Message,
    /// `normal` if it is left out.
    #[schema(required = false)]
    priority: Priority,
    /// From when it may be sent, within a year; a time that has passed is now.
    #[schema(required = false)]
    send_at: Moment,
    /// Until when an attempt may begin: later than `sendAt` and now; 24 hours after them if it is left out.
    #[schema(required = false)]
    not_after: Moment,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushNow {
    patient_id: PatientId,
    title: Title,
    message: Message,
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PushLater {
    patient_id: PatientId,
    title: Title,
    message: Message,
    /// `normal` if it is left out.
    #[schema(required = false)]
    priority: Priority,
    /// From when it may be sent, within a year; a time that has passed is now.
    #[schema(required = false)]
    send_at: Moment,
    /// Until when an attempt may begin: later than `sendAt` and now; 24 hours after them if it is left out.
    #[schema(required = false)]
    not_after: Moment,
}

/// How a patient can be reached. What is left out is not there.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Contact {
    #[schema(required = false)]
    phone: Phone,
    /// Each device once.
    #[schema(required = false, max_items = 20)]
    push_tokens: Vec<Device>,
    #[schema(required = false)]
    time_zone: TimeZone,
    #[schema(required = false)]
    locale: Locale,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    platform: Platform,
    token: PushToken,
}

#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    status: Verdict,
}

/// It is committed and synced.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    id: JobId,
    #[schema(schema_with = accepted)]
    status: Status,
}

/// It is committed and synced, with a job for each device.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushAccepted {
    id: JobId,
    #[schema(schema_with = accepted)]
    status: Status,
    #[schema(min_items = 1)]
    jobs: Vec<Part>,
}

/// The gateway took it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    id: JobId,
    #[schema(schema_with = delivered)]
    status: Status,
    /// Push only.
    #[schema(required = false, min_items = 1)]
    jobs: Vec<Part>,
}

/// One job of a push notification.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    id: JobId,
    status: Status,
}

/// A problem that tells of a synchronous attempt which was stored.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Undelivered {
    #[schema(schema_with = undelivered)]
    r#type: String,
    title: String,
    #[schema(minimum = 502, maximum = 504)]
    status: u16,
    detail: String,
    #[schema(schema_with = trace_id)]
    trace_id: String,
    id: JobId,
    /// What became of the notification.
    outcome: Verdictless,
    /// Push only.
    #[schema(required = false, min_items = 1)]
    jobs: Vec<Part>,
}

/// How an attempt that did not deliver can end.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Verdictless {
    Dead,
    Unknown,
}

/// A person's verdict, as it is stored now.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    id: JobId,
    status: Verdict,
}

/// A notification and what became of it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Notification {
    id: JobId,
    /// Of a push `delivered` if any job is, else the worst.
    status: Status,
    channel: Channel,
    priority: Priority,
    accepted_at: Moment,
    due_at: Moment,
    not_after: Moment,
    /// When the next attempt is due, while there is one.
    #[schema(required = false)]
    next_attempt_at: Moment,
    /// Why it is dead or unknown, or why it waits: a word of a closed set.
    #[schema(required = false, schema_with = text)]
    reason: String,
    attempts: Vec<Attempt>,
    /// Push only: a job for each device.
    #[schema(required = false, min_items = 1)]
    jobs: Vec<Job>,
    #[schema(schema_with = trace_id)]
    trace_id: String,
}

/// One attempt, or what a person did in between.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attempt {
    at: Moment,
    #[schema(schema_with = outcome)]
    outcome: String,
    /// The provider that was called; `operator` for a person, `none` where nobody was called.
    provider: String,
    #[schema(minimum = 0)]
    duration_ms: i64,
}

/// One job of a push notification with its history.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Job {
    id: JobId,
    status: Status,
    #[schema(required = false, schema_with = text)]
    reason: String,
    attempts: Vec<Attempt>,
}

/// A job that waits for a person.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLetter {
    id: JobId,
    notification_id: JobId,
    status: Verdictless,
    /// Why; null where none was noted.
    #[schema(nullable)]
    reason: String,
    channel: Channel,
    priority: Priority,
    accepted_at: Moment,
    finished_at: Moment,
    attempts: Vec<Attempt>,
    #[schema(schema_with = trace_id)]
    trace_id: String,
}

/// A page, newest first.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeadLetters {
    items: Vec<DeadLetter>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required = true)]
    next_cursor: Option<JobId>,
}

/// Which dead letters.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase", default = "dead")]
pub enum Which {
    Dead,
    Unknown,
}

/// Items of a page.
#[derive(ToSchema)]
#[schema(minimum = 1, maximum = 500, default = 50)]
pub struct Limit(u16);

fn accepted() -> ObjectBuilder {
    one_of(["accepted"])
}

fn delivered() -> ObjectBuilder {
    one_of(["delivered"])
}

fn undelivered() -> ObjectBuilder {
    one_of(["/problems/notification-dead", "/problems/notification-unknown"])
}

pub fn trace_id() -> ObjectBuilder {
    text().pattern(Some("^[0-9a-f]{32}$")).description(Some("The trace that tells more of it."))
}

fn outcome() -> ObjectBuilder {
    let of_attempts = ["delivered", "retry", "parked", "dead", "unknown"];
    let of_people = ["replayed", "resolved_delivered", "resolved_dead"];
    text().enum_values(Some(of_attempts.into_iter().chain(of_people)))
}
