//! The shapes of what concerns studies and batches, as [`super::bodies`] has the others.

#![expect(dead_code, reason = "they tell shapes, and are never made")]

use super::{bodies, words::one_of};
use crate::{
    notify::model::{Channel, Message, Moment, Title},
    platform::queue::{JobId, Priority},
};
use utoipa::{ToSchema, openapi::ObjectBuilder};

/// A message to everybody who is enrolled, on one channel.
#[derive(ToSchema)]
#[serde(untagged)]
pub enum StudyMessage {
    Sms(StudySms),
    Push(StudyPush),
}

#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StudySms {
    #[schema(schema_with = sms)]
    channel: Channel,
    message: Message,
    /// `bulk` if it is left out.
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
pub struct StudyPush {
    #[schema(schema_with = push)]
    channel: Channel,
    title: Title,
    message: Message,
    /// `bulk` if it is left out.
    #[schema(required = false)]
    priority: Priority,
    /// From when it may be sent, within a year; a time that has passed is now.
    #[schema(required = false)]
    send_at: Moment,
    /// Until when an attempt may begin: later than `sendAt` and now; 24 hours after them if it is left out.
    #[schema(required = false)]
    not_after: Moment,
}

/// Batch and membership are committed and synced; it is expanded into notifications afterwards.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BatchAccepted {
    batch_id: JobId,
    /// Patients who get it.
    #[schema(minimum = 0)]
    accepted: i64,
    /// Patients who are enrolled and cannot be reached on this channel.
    #[schema(minimum = 0)]
    skipped: i64,
}

/// A message to a study, and what became of it, counted in notifications.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Batch {
    batch_id: JobId,
    status: BatchStatus,
    channel: Channel,
    priority: Priority,
    accepted_at: Moment,
    due_at: Moment,
    not_after: Moment,
    #[schema(minimum = 0)]
    accepted: i64,
    #[schema(minimum = 0)]
    skipped: i64,
    counts: Counts,
    #[schema(schema_with = bodies::trace_id)]
    trace_id: String,
}

/// `running` while any of its notifications is `accepted`, `sending` or `retrying`.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum BatchStatus {
    Running,
    Finished,
}

/// The notifications of each status that are still kept.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    #[schema(minimum = 0)]
    accepted: i64,
    #[schema(minimum = 0)]
    sending: i64,
    #[schema(minimum = 0)]
    retrying: i64,
    #[schema(minimum = 0)]
    delivered: i64,
    #[schema(minimum = 0)]
    dead: i64,
    #[schema(minimum = 0)]
    expired: i64,
    #[schema(minimum = 0)]
    cancelled: i64,
    #[schema(minimum = 0)]
    unknown: i64,
}

/// Since when the patient is enrolled.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enrolment {
    enrolled_at: Moment,
}

/// Nothing: an empty object, for clients that must send one.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

fn sms() -> ObjectBuilder {
    one_of([Channel::Sms.as_str()])
}

fn push() -> ObjectBuilder {
    one_of([Channel::Push.as_str()])
}
