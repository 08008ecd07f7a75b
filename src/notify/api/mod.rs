//! The domain's HTTP API: which routes there are. What each does stands in the file of its resource.

mod accept;
mod answer;
mod batches;
mod dead_letters;
mod fields;
mod notifications;
pub mod openapi;
mod path;
mod patients;
mod problems;
mod studies;
mod submission;
mod view;

pub use accept::producer;

use super::{
    BULK,
    deliver::Providers,
    metrics::{Metrics, Refusal},
    model::Channel,
    patients::Directory,
    studies::Studies,
};
use crate::platform::{
    auth::Scope,
    http::{Problem, Routes},
    queue::{Priority, Queue},
    resilience::Degradation,
    store::StoreError,
};
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use std::sync::Arc;

const NOTIFICATION: &str = "/api/v1/notifications/{id}";
const RESOLVE: &str = "/api/v1/notifications/{id}/resolve";
const REPLAY: &str = "/api/v1/dead-letters/{id}/replay";
const BATCH: &str = "/api/v1/batches/{batchId}";
const ENROLMENT: &str = "/api/v1/studies/{studyId}/patients/{patientId}";
const PATIENT: &str = "/api/v1/patients/{patientId}";

/// What the handlers work with.
pub struct Api {
    pub queue: Queue,
    pub directory: Directory,
    pub studies: Studies,
    pub providers: Arc<Providers>,
    pub metrics: Arc<Metrics>,
    pub degradation: Degradation,
}

impl Api {
    fn needs_contact(&self, channel: Channel) -> bool {
        self.providers.of(channel).needs_contact()
    }

    /// Counts a refusal, and gives its problem on.
    fn refuse(&self, reason: Refusal, problem: Problem) -> Problem {
        self.metrics.refused(reason);
        problem
    }

    /// What is least urgent is turned away while there is too much to do.
    fn admit(&self, priority: Priority) -> Result<(), (Refusal, Problem)> {
        match priority {
            Priority::Bulk => self.degradation.admit(BULK).map_err(|shed| (Refusal::Shed, shed.into())),
            Priority::Urgent | Priority::Normal => Ok(()),
        }
    }

    fn unread(&self, error: &StoreError) -> Problem {
        self.refuse(Refusal::StoreUnavailable, problems::unread(error))
    }
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
}

/// All routes of the domain, to be given their state.
pub fn routes() -> Routes<Arc<Api>> {
    Routes::new()
        .post(accept::Route::SmsLater.template(), Scope::Send, accept::sms_later)
        .watched(accept::Route::SmsLater.template())
        .post(accept::Route::SmsNow.template(), Scope::Send, accept::sms_now)
        .post(accept::Route::PushLater.template(), Scope::Send, accept::push_later)
        .watched(accept::Route::PushLater.template())
        .post(accept::Route::PushNow.template(), Scope::Send, accept::push_now)
        .get(NOTIFICATION, Scope::Read, notifications::show)
        .delete(NOTIFICATION, Scope::Send, notifications::cancel)
        .post(RESOLVE, Scope::Operate, notifications::resolve)
        .get(dead_letters::PATH, Scope::Operate, dead_letters::list)
        .compressed(dead_letters::PATH)
        .post(REPLAY, Scope::Operate, dead_letters::replay)
        .put(PATIENT, Scope::Operate, patients::put)
        .get(PATIENT, Scope::Read, patients::get)
        .delete(PATIENT, Scope::Operate, patients::delete)
        .put(ENROLMENT, Scope::Operate, studies::enrol)
        .delete(ENROLMENT, Scope::Operate, studies::withdraw)
        .post(studies::SEND, Scope::Send, studies::send)
        .get(BATCH, Scope::Read, batches::show)
}
