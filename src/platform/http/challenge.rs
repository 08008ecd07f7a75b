//! 401 and 403, with the challenge of RFC 6750 (section 3) that tells a client what to send instead.

use super::Problem;
use crate::platform::{admission::Denied, auth::Scope};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use std::borrow::Cow;

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let mut response = problem(self).into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge(self)));
        response
    }
}

/// What the answer says.
pub(super) fn problem(denied: Denied) -> Problem {
    match denied {
        Denied::Unauthenticated { presented: false } => {
            unauthenticated("Send a key as Authorization: Bearer KEY.")
        }
        Denied::Unauthenticated { presented: true } => unauthenticated("The key is not known, or no longer."),
        Denied::Forbidden(scope) => forbidden(format!("The key lacks the scope {scope}.")),
        Denied::NoKeys => forbidden("This takes an API key, and none are configured."),
    }
}

const fn challenge(denied: Denied) -> &'static str {
    match denied {
        Denied::Unauthenticated { presented: true } => "Bearer error=\"invalid_token\"",
        Denied::Unauthenticated { presented: false } | Denied::NoKeys => "Bearer",
        Denied::Forbidden(scope) => insufficient(scope),
    }
}

/// 401, without a word of what was presented.
fn unauthenticated(detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "No known key").detail(detail)
}

fn forbidden(detail: impl Into<Cow<'static, str>>) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed").detail(detail)
}

const fn insufficient(scope: Scope) -> &'static str {
    match scope {
        Scope::Send => "Bearer error=\"insufficient_scope\", scope=\"send\"",
        Scope::Read => "Bearer error=\"insufficient_scope\", scope=\"read\"",
        Scope::Operate => "Bearer error=\"insufficient_scope\", scope=\"operate\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_what_would_be_accepted() {
        let cases = [
            (Denied::NoKeys, 403, "Bearer".to_owned()),
            (Denied::Unauthenticated { presented: false }, 401, "Bearer".to_owned()),
            (Denied::Unauthenticated { presented: true }, 401, "Bearer error=\"invalid_token\"".to_owned()),
        ];
        let of_scope = |scope| {
            let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
            (Denied::Forbidden(scope), 403, challenge)
        };
        for (denied, status, challenge) in cases.into_iter().chain(Scope::ALL.map(of_scope)) {
            let response = denied.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], *challenge);
        }
    }
}
