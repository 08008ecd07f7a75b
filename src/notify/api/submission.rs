//! Reading the body of a POST that makes a notification, and turning it into jobs' payloads.

use crate::{
    notify::{
        model::{Channel, Contact, Message, PatientId, Schedule, ScheduleFault, Title},
        payload::Payload,
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
        let schedule =
            if at_once { Schedule::new(now, None, None).ok() } else { read_schedule(&mut fields, now) };
        let (patient, message, schedule) = fields.finish_with((patient, message, schedule))?;
        let priority = priority.unwrap_or(Priority::Normal);
        Ok(Self { patient, title: title.flatten(), message, priority, schedule })
    }

    /// One payload for a job, each as it is stored: an SMS is one job, a push one for each device.
    ///
    /// `contact` matters for a push: without a device there is one job for a provider that needs none, and nothing for another.
    pub fn payloads(self, contact: Option<Contact>, needs_contact: bool) -> Vec<Vec<u8>> {
        let Self { patient, title, message, .. } = self;
        let Some(title) = title else { return vec![Payload::Sms { patient, message }.encode()] };
        let contact = contact.unwrap_or_default();
        let push = |device| {
            let (patient, title, message) = (patient.clone(), title.clone(), message.clone());
            Payload::Push { patient, title, message, device }.encode()
        };
        if contact.push_tokens.is_empty() && !needs_contact {
            return vec![push(None)];
        }
        contact.push_tokens.into_iter().map(|device| push(Some(device))).collect()
    }
}
