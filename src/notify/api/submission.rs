//! Reading the body of a POST that makes a notification, and turning it into jobs' payloads.

use crate::{
    notify::{
        model::{Channel, Contact, Message, PatientId, Schedule, ScheduleFault, Title},
        payload,
    },
    platform::{
        http::{Fields, JsonBody, Problem},
        queue::Priority,
    },
};

/// `sendAt` and `notAfter`, which may be left out. `now` in Unix milliseconds.
pub fn read_schedule(fields: &mut Fields<'_>, now: i64) -> Option<Schedule> {
    let (send_at, not_after) = (fields.optional("sendAt"), fields.optional("notAfter"));
    let schedule = Schedule::new(now, send_at, not_after);
    if let Err(fault) = schedule {
        let field = match fault {
            ScheduleFault::SendAtTooFar => "sendAt",
            ScheduleFault::EndsTooSoon => "notAfter",
        };
        fields.fault(field, fault.to_string());
    }
    schedule.ok()
}

/// A body that was understood.
pub struct Wanted {
    pub patient: PatientId,
    /// There for push, and only there.
    title: Option<Title>,
    message: Message,
    pub priority: Priority,
    pub schedule: Schedule,
}

impl Wanted {
    /// `at_once`: the caller waits, so there is nothing to plan. `now` in Unix milliseconds.
    pub fn read(body: &JsonBody, channel: Channel, at_once: bool, now: i64) -> Result<Self, Problem> {
        let mut fields = body.fields()?;
        let patient = fields.required("patientId");
        let title = (channel == Channel::Push).then(|| fields.required("title"));
        let message = fields.required("message");
        let priority = if at_once { None } else { fields.optional("priority") };
        let schedule = if at_once { Some(Schedule::at_once(now)) } else { read_schedule(&mut fields, now) };
        let (patient, message, schedule) = fields.finish_with((patient, message, schedule))?;
        let priority = priority.unwrap_or(Priority::Normal);
        Ok(Self { patient, title: title.flatten(), message, priority, schedule })
    }

    /// One payload for a job, each as it is stored.
    pub fn payloads(self, contact: Option<Contact>, needs_contact: bool) -> Vec<Vec<u8>> {
        payload::of(self.patient, self.title, self.message, contact, needs_contact)
    }
}
