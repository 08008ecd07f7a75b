//! A report as PDF.

use super::{InPath, no_such_report, text};
use crate::{
    platform::http::{Problem, ResourceId, refusals::unread},
    reports::{
        Reports,
        model::ReportId,
        preview::{Drawn, Undrawn},
    },
};
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

pub const PREVIEW: &str = "/api/v1/reports/{reportId}/preview.pdf";
pub const PDF: &str = "application/pdf";

/// Asked without a font before the store is: whoever calls learns what is missing, whatever the id.
pub async fn show(reports: State<Reports>, path: InPath) -> Result<Response, Problem> {
    let id = text(path)?.parse::<ReportId>().map_err(|_| no_such_report())?;
    if !reports.preview().is_there() {
        return Err(unavailable());
    }
    let found = reports.find(id).await.map_err(|error| unread(&error))?.ok_or_else(no_such_report)?;
    let drawn = Drawn {
        id: id.to_string(),
        submitted_at: found.submitted_at,
        content: found.content.as_str().to_owned(),
    };
    let pdf = reports.preview().draw(drawn).await.map_err(undrawn)?;
    let mut response =
        (StatusCode::OK, [(header::CONTENT_TYPE, HeaderValue::from_static(PDF))], pdf).into_response();
    if let Ok(name) = HeaderValue::from_maybe_shared(format!("inline; filename=\"report-{id}.pdf\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    }
    response.extensions_mut().insert(ResourceId(id.to_string()));
    Ok(response)
}

fn undrawn(why: Undrawn) -> Problem {
    match why {
        Undrawn::NoFont => unavailable(),
        Undrawn::Shed(shed) => shed.into(),
        Undrawn::Failed => Problem::internal(),
    }
}

/// 501, until an operator has done something about it.
pub fn unavailable() -> Problem {
    let missing = if cfg!(feature = "pdf") {
        "Previews need a font: set APP_REPORTS__PREVIEW__FONT_FILE."
    } else {
        "This service was built without previews: build it with the feature pdf."
    };
    Problem::new(StatusCode::NOT_IMPLEMENTED, "preview-unavailable", "There are no previews here")
        .detail(missing)
}
