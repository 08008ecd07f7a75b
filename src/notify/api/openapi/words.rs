//! The domain's words as schemas: the bounds are those that their parsers hold to.

use crate::{
    notify::model::{
        Channel, Locale, Message, Moment, PatientId, Phone, Platform, PushToken, StudyId, TimeZone, Title,
    },
    platform::{
        http::openapi::text,
        queue::{JobId, Priority, Status, Verdict},
    },
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, SchemaFormat, schema::KnownFormat},
};

macro_rules! words {
    ($($word:ident $about:literal $schema:expr;)+) => {
        $(
            impl PartialSchema for $word {
                fn schema() -> RefOr<Schema> {
                    let schema: ObjectBuilder = $schema;
                    schema.description(Some($about)).into()
                }
            }
            impl ToSchema for $word {}
        )+
    };
}

words! {
    PatientId "The caller's own identifier of a patient." bounded(PatientId::MOST).pattern(Some("^[A-Za-z0-9._-]{1,64}$"));
    StudyId "The caller's own identifier of a study." bounded(StudyId::MOST).pattern(Some("^[A-Za-z0-9._-]{1,64}$"));
    Message "What the patient reads. Characters are Unicode scalar values." bounded(Message::MOST);
    Title "The head of a push notification." bounded(Title::MOST);
    Phone "A number in E.164 that its country's numbering plan knows as valid." text().pattern(Some(r"^\+[1-9][0-9]{4,14}$"));
    TimeZone "A name of the IANA time zone database, by its syntax." bounded(TimeZone::MOST)
        .pattern(Some("^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z][A-Za-z0-9_+-]*)*$"));
    Locale "A language tag after BCP 47, by its syntax." bounded(Locale::MOST)
        .pattern(Some("^[A-Za-z]{2,8}((-[A-Za-z0-9]{1,8})*-[A-Za-z0-9]{2,8})?$"));
    PushToken "A device's token, as its push service made it." bounded(PushToken::MOST).pattern(Some("^[!-~]+$"));
    Moment "A time in RFC 3339, with `Z` or an offset; answered in UTC with milliseconds."
        text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    JobId "The id of a notification or of one of its jobs." text().pattern(Some("^[0-7][0-9a-hjkmnp-tv-z]{12}$"));
    Platform "What a token is for." one_of(Platform::ALL.map(Platform::as_str));
    Channel "The way to the patient." one_of(Channel::ALL.map(Channel::as_str));
    Priority "How soon it is taken when others wait." one_of(Priority::ALL.map(Priority::as_str));
    Status "Where it is in its life." one_of(Status::ALL.map(Status::as_str));
    Verdict "What a person found out." one_of(["delivered", "dead"]);
}

fn bounded(most: usize) -> ObjectBuilder {
    text().min_length(Some(1)).max_length(Some(most))
}

/// A text out of these words.
pub fn one_of<const N: usize>(words: [&str; N]) -> ObjectBuilder {
    text().enum_values(Some(words))
}
