//! The four POSTs that make notifications: SMS and push, to be sent later or while the caller waits.

use super::{Api, answer, problems, submission::Wanted};
use crate::{
    notify::{metrics::Refusal, model::Channel, patients::Directory},
    platform::{
        admission::Caller,
        http::{IdempotencyHeader, JsonBody, Problem},
        queue::{Answer, IdempotencyKey, JobId, Refused, Status, Submission, Submitted},
        telemetry::names,
        time::now_ms,
    },
};
use axum::{Extension, extract::State, response::Response};
use std::sync::Arc;
use tracing::{Span, field::Empty};

type Body = Result<JsonBody, Problem>;
type Key = Result<IdempotencyHeader, Problem>;
type Answered = Result<Response, Problem>;

pub async fn sms_later(api: State<Arc<Api>>, caller: Extension<Caller>, key: Key, body: Body) -> Answered {
    Route::SmsLater.accept(&api, &caller.0, key, body).await
}

pub async fn sms_now(api: State<Arc<Api>>, caller: Extension<Caller>, key: Key, body: Body) -> Answered {
    Route::SmsNow.accept(&api, &caller.0, key, body).await
}

pub async fn push_later(api: State<Arc<Api>>, caller: Extension<Caller>, key: Key, body: Body) -> Answered {
    Route::PushLater.accept(&api, &caller.0, key, body).await
}

pub async fn push_now(api: State<Arc<Api>>, caller: Extension<Caller>, key: Key, body: Body) -> Answered {
    Route::PushNow.accept(&api, &caller.0, key, body).await
}

/// Which of the four it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    SmsLater,
    SmsNow,
    PushLater,
    PushNow,
}

impl Route {
    pub const fn template(self) -> &'static str {
        match self {
            Self::SmsLater => "/api/v1/notifications/sms/async",
            Self::SmsNow => "/api/v1/notifications/sms",
            Self::PushLater => "/api/v1/notifications/push/async",
            Self::PushNow => "/api/v1/notifications/push",
        }
    }

    fn channel(self) -> Channel {
        match self {
            Self::SmsLater | Self::SmsNow => Channel::Sms,
            Self::PushLater | Self::PushNow => Channel::Push,
        }
    }

    fn at_once(self) -> bool {
        matches!(self, Self::SmsNow | Self::PushNow)
    }

    /// Makes the first answer, which is kept under the caller's key.
    fn answer(self) -> fn(JobId, &[Status]) -> Answer {
        match self {
            Self::SmsLater => answer::sms_accepted,
            Self::SmsNow => answer::sms_attempted,
            Self::PushLater => answer::push_accepted,
            Self::PushNow => answer::push_attempted,
        }
    }

    async fn accept(self, api: &Api, caller: &Caller, key: Key, body: Body) -> Answered {
        let invalid = |problem| api.refuse(Refusal::Invalid, problem);
        let IdempotencyHeader(key) = key.map_err(invalid)?;
        let body = body.map_err(invalid)?;
        let key = key.map(|key| {
            IdempotencyKey::new(&caller.client.to_string(), "POST", self.template(), &key, body.bytes())
        });
        match self.prepare(api, &body).await {
            Ok(submission) => self.submitted(api, Submission { idempotency: key, ..submission }).await,
            Err((reason, problem)) => {
                // What was accepted once may be refused by now, as after its patient was deleted: a
                // repeat still gets the first answer.
                let before = match key {
                    Some(key) => api.queue.repeated(key, Some(self.answer())).await.transpose(),
                    None => None,
                };
                match before {
                    None => Err(api.refuse(reason, problem)),
                    Some(before) => repeated(before, api, self.channel()),
                }
            }
        }
    }

    /// What is to be stored. The directory is asked only where the answer changes it.
    async fn prepare(self, api: &Api, body: &JsonBody) -> Result<Submission, (Refusal, Problem)> {
        let (channel, now) = (self.channel(), now_ms());
        let wanted =
            Wanted::read(body, channel, self.at_once(), now).map_err(|fault| (Refusal::Invalid, fault))?;
        api.admit(wanted.priority)?;
        if self.at_once() {
            // Somebody waits: that the gateway is down is told at once, and nothing stored for it.
            let ready = api.providers.of(channel).ready();
            ready.map_err(|after| (Refusal::Shed, problems::gateway_unavailable(after)))?;
        }
        let needs_contact = api.needs_contact(channel);
        let unread = |error| (Refusal::StoreUnavailable, problems::unread(&error));
        let (contact, precondition) = match channel {
            // A push is a job for each device, so they have to be known first.
            Channel::Push => (api.directory.find(&wanted.patient).await.map_err(unread)?, None),
            // An SMS only needs a phone to be there: that is asked in the commit, which costs no read.
            Channel::Sms => (None, needs_contact.then(|| Directory::has_phone(wanted.patient.clone()))),
        };
        let (priority, schedule) = (wanted.priority, wanted.schedule);
        let payloads = wanted.payloads(contact, needs_contact);
        if payloads.is_empty() {
            return Err((Refusal::NoContact, problems::no_contact(channel)));
        }
        Ok(Submission {
            id: api.queue.allocate(payloads.len()),
            channel: channel.as_str(),
            priority,
            send_at: schedule.send_at,
            not_after: schedule.not_after,
            payloads,
            idempotency: None,
            precondition,
            answer: self.answer(),
        })
    }

    async fn submitted(self, api: &Api, submission: Submission) -> Answered {
        let (id, jobs) = (submission.id, submission.payloads.len());
        let statuses = match self.submit(api, submission).await {
            Ok(Submitted::Accepted) => vec![Status::Accepted; jobs],
            Ok(Submitted::Finished(statuses)) => statuses,
            before => return repeated(before, api, self.channel()),
        };
        Ok(answer::respond(id, self.answer()(id, &statuses)))
    }

    /// Hands it to the queue under a PRODUCER span, whose context the jobs keep.
    async fn submit(self, api: &Api, submission: Submission) -> Result<Submitted, Refused> {
        let span = producer(submission.id);
        let submitted = if self.at_once() {
            api.queue.deliver_now(submission, span.clone()).await
        } else {
            api.queue.submit(submission, &span).await
        };
        if let Err(Refused::StoreUnavailable | Refused::CommitUnknown) = &submitted {
            span.record(names::OTEL_STATUS_CODE, "ERROR");
        }
        submitted
    }
}

/// The PRODUCER span of a notification, whose context its jobs keep.
pub fn producer(id: JobId) -> Span {
    tracing::info_span!(
        "send notifications",
        otel.kind = "producer",
        otel.status_code = Empty,
        messaging.system = names::QUEUE_SYSTEM,
        messaging.operation.name = "send",
        messaging.operation.type = "send",
        messaging.destination.name = names::QUEUE_DESTINATION,
        messaging.message.id = %id,
        waited_ms = Empty,
        committed_ms = Empty,
    )
}

/// The answer where nothing was created: to a repeat, or a refusal.
pub(super) fn repeated(before: Result<Submitted, Refused>, api: &Api, channel: Channel) -> Answered {
    match before {
        Ok(Submitted::Replayed(first)) => Ok(answer::replayed(first)),
        Ok(_) => Err(problems::in_flight()),
        Err(refused) => Err(api.refuse(reason(&refused), problems::refused(&refused, channel))),
    }
}

fn reason(refused: &Refused) -> Refusal {
    match refused {
        Refused::BacklogFull { .. } => Refusal::BacklogFull,
        Refused::KeyReused => Refusal::Invalid,
        Refused::Unmet => Refusal::NoContact,
        Refused::StoreUnavailable | Refused::CommitUnknown => Refusal::StoreUnavailable,
    }
}
