//! The contact directory's resource: how a patient can be reached.

use super::{Api, json_response, path::PatientInPath, problems};
use crate::{
    notify::model::{Contact, Platform, PushToken},
    platform::http::{Fields, JsonBody, Problem},
};
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Makes (201) or replaces (200) a patient's contact, and shows it. What is left out is not there.
pub async fn put(
    api: State<Arc<Api>>,
    PatientInPath(patient): PatientInPath,
    body: JsonBody,
) -> Result<Response, Problem> {
    let contact = read(&body)?;
    let shown = show(&contact);
    let new = api.directory.put(patient, contact).await.map_err(|error| problems::unwritten(&error))?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(json_response(status, &shown))
}

pub async fn get(api: State<Arc<Api>>, PatientInPath(patient): PatientInPath) -> Result<Response, Problem> {
    let found = api.directory.find(&patient).await.map_err(|error| problems::unread(&error))?;
    let contact = found.ok_or_else(no_such_patient)?;
    Ok(json_response(StatusCode::OK, &show(&contact)))
}

pub async fn delete(
    api: State<Arc<Api>>,
    PatientInPath(patient): PatientInPath,
) -> Result<Response, Problem> {
    let found = api.directory.delete(patient).await.map_err(|error| problems::unwritten(&error))?;
    if found { Ok(StatusCode::NO_CONTENT.into_response()) } else { Err(no_such_patient()) }
}

pub fn no_such_patient() -> Problem {
    Problem::not_found("The directory has no such patient.")
}

fn read(body: &JsonBody) -> Result<Contact, Problem> {
    let mut fields = body.fields()?;
    let contact = Contact {
        phone: fields.optional("phone"),
        push_tokens: fields.objects("pushTokens", Contact::MAX_TOKENS, read_token).unwrap_or_default(),
        time_zone: fields.optional("timeZone"),
        locale: fields.optional("locale"),
    };
    let mut seen = Vec::new();
    for token in &contact.push_tokens {
        if seen.contains(&token) {
            fields.fault("pushTokens", "names a device more than once");
            break;
        }
        seen.push(token);
    }
    fields.finish()?;
    Ok(contact)
}

fn read_token(fields: &mut Fields<'_>) -> Option<PushToken> {
    let platform = fields.required::<Platform>("platform");
    let token = fields.required::<String>("token")?;
    match PushToken::new(platform?, &token) {
        Ok(token) => Some(token),
        Err(rule) => {
            fields.fault("token", rule.to_string());
            None
        }
    }
}

/// What was put, so that it can be changed and put again.
pub fn show(contact: &Contact) -> Value {
    let token = |token: &PushToken| json!({ "platform": token.platform().as_str(), "token": token.token() });
    let parts = [
        ("phone", contact.phone.as_ref().map(|phone| phone.as_str().into())),
        ("pushTokens", Some(contact.push_tokens.iter().map(token).collect())),
        ("timeZone", contact.time_zone.as_ref().map(|zone| zone.as_str().into())),
        ("locale", contact.locale.as_ref().map(|locale| locale.as_str().into())),
    ];
    parts
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<Map<_, _>>()
        .into()
}
