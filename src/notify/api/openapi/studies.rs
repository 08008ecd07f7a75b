//! Studies and batches.

use super::{
    ACCEPTED, ID, STUDIES, TRACE, about_patient, example,
    send::{creating, id, shed, shown},
    study_bodies::{Batch, BatchAccepted, Empty, Enrolment, StudyMessage},
};
use crate::{
    notify::{
        api::{BATCH, ENROLMENT, answer, problems, studies, view},
        model::{Channel, Moment, StudyId},
    },
    platform::{
        http::{Problem, openapi::Operation},
        queue::{BatchRecord, JobId, Priority, Status},
        telemetry::TraceContext,
    },
};
use axum::http::Method;
use serde_json::{Value, json};

pub fn operations() -> Vec<Operation> {
    vec![enrol(), withdraw(), send(), batch()]
}

fn enrol() -> Operation {
    let since = json!({ "enrolledAt": Moment::from_unix_ms(ACCEPTED).map(|at| at.to_string()) });
    let put = Operation::new(Method::PUT, ENROLMENT, "enrolPatient", STUDIES, "Enrol a patient");
    about_patient(about_study(put))
        .about("The patient need not be in the directory; a message leaves out who cannot be reached.")
        .optional_body::<Empty>("Nothing.", &[("empty", json!({}))])
        .answers::<Enrolment>(200, "The patient was enrolled already.", since.clone())
        .answers::<Enrolment>(201, "The patient is enrolled now.", since)
        .link_on(201, "sendToStudy", "studyId")
        .problems([problems::store_unavailable(), problems::commit_unknown()])
}

fn withdraw() -> Operation {
    let delete = Operation::new(Method::DELETE, ENROLMENT, "withdrawPatient", STUDIES, "End an enrolment");
    about_patient(about_study(delete)).answers_nothing(204, "It has ended.").problems([
        studies::not_enrolled(),
        problems::store_unavailable(),
        problems::commit_unknown(),
    ])
}

fn send() -> Operation {
    let text = "Week 3 begins: please fill in your diary.";
    let sms = json!({ "channel": "sms", "message": text });
    let push =
        json!({ "channel": "push", "title": "Week 3", "message": text, "notAfter": "2099-12-31T18:00:00Z" });
    let post = Operation::new(Method::POST, studies::SEND, "sendToStudy", STUDIES, "Send to a whole study");
    let post = about_study(post)
        .about(
            "To every patient who is enrolled now, all or nothing. Answered once the batch and who is in it are \
             committed; its notifications are made afterwards, and delivered as any other.",
        )
        .body::<StudyMessage>("What to send.", &[("sms", sms), ("push", push)])
        .answers::<BatchAccepted>(202, "It is committed and synced.", shown(answer::batch_accepted(id(), 90_000, 12)))
        .header(202, "Location")
        .link(202, "getBatch", "batchId", "batchId");
    creating(post, Channel::Sms).problems([studies::no_such_study(), shed()])
}

fn batch() -> Operation {
    Operation::new(Method::GET, BATCH, "getBatch", STUDIES, "See what became of a message to a study")
        .in_path::<JobId>("batchId", "The id of a batch.", ID)
        .answers::<Batch>(200, "The batch, counted.", counted())
        .problems([problems::no_such_batch(), problems::store_unavailable()])
}

fn about_study(operation: Operation) -> Operation {
    operation
        .in_path::<StudyId>("studyId", "The caller's own identifier of the study.", "diary-2")
        .problems([Problem::invalid(Vec::new()).detail("The studyId in the path is not valid.")])
}

fn counted() -> Value {
    view::batch(&BatchRecord {
        id: example(ID),
        channel: Channel::Sms.as_str(),
        priority: Priority::Bulk,
        first_due: ACCEPTED,
        not_after: ACCEPTED + 24 * 60 * 60 * 1000,
        trace: TraceContext::parse(TRACE).unwrap_or_else(TraceContext::new_root),
        accepted: 90_000,
        skipped: 12,
        counts: vec![(Status::Accepted, 61_000), (Status::Sending, 32), (Status::Delivered, 28_968)],
    })
}
