//! The layers: who calls is found out before the rate limit, whether they may is decided after it, so that guessing
//! a key is limited by the guesser's address.

use super::{KeyName, Keys, Scope, keys::Identity};
use crate::client::{caller_address, network};
use crate::{Client, Decide, Gate, LimitsConfig, Problem};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use chassis_telemetry::http::CallerKey;
use chassis_telemetry::names;
use http::{Extensions, Method, StatusCode};
use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tracing::Span;

/// Who calls: an extension of every request behind [`identify`].
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who shares the rate limit's bucket and the scope of idempotency keys.
    pub client: Client,
    identity: Identity,
    keys: Keys,
}

impl Caller {
    /// The key's name, where a known one was presented.
    pub fn key(&self) -> Option<&KeyName> {
        if let Client::Key(name) = &self.client { Some(name) } else { None }
    }

    /// Who calls, as [`identify`] has found out.
    pub(crate) fn of(extensions: &Extensions) -> Result<&Self, Problem> {
        extensions.get().ok_or_else(|| {
            tracing::error!("a route asks who calls, and no layer identifies its callers");
            Problem::internal()
        })
    }

    /// Whether its key allows this, counted in `auth_requests_total`. No scope: any known key will do.
    pub(crate) fn permit(&self, scope: Option<Scope>) -> Result<(), Problem> {
        match &self.identity {
            Identity::Open => self.keys.0.nobody.ok.increment(1),
            // Counted when it was presented, whether the rate limit then let it this far or not.
            Identity::Unknown => {
                return Err(unauthenticated(
                    "The key is not known, or no longer.", "Bearer error=\"invalid_token\"",
                ));
            }
            Identity::Nobody => {
                self.keys.0.nobody.unknown_key.increment(1);
                return Err(unauthenticated("Send a key as Authorization: Bearer KEY.", "Bearer"));
            }
            Identity::Holder(holder) => {
                if let Some(lacking) = scope.filter(|scope| !holder.scopes.contains(*scope)) {
                    holder.counts.forbidden.increment(1);
                    return Err(lacks(lacking));
                }
                holder.counts.ok.increment(1);
            }
        }
        Ok(())
    }

    /// Counts a call that needs no key as one without.
    pub(crate) fn count_open(&self) {
        self.keys.0.nobody.ok.increment(1);
    }
}

/// Finds out who calls: the key in `Authorization`, and the address behind trusted proxies. Refuses nobody.
///
/// Needs `ConnectInfo<SocketAddr>`, which [`serve`](crate::server::serve) provides.
pub fn identify(keys: &Keys, limits: &LimitsConfig) -> Gate<impl Decide> {
    let (keys, limits) = (keys.clone(), Arc::new(limits.clone()));
    Gate(move |request: &mut Request| {
        let identity = keys.identify(request.headers());
        let client = if let Identity::Holder(holder) = &identity {
            Span::current().record(names::USER_NAME, holder.name.as_str());
            request.extensions_mut().get_or_insert_default::<CallerKey>().set(Arc::clone(&holder.name.0));
            Client::Key(holder.name.clone())
        } else {
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
            let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
            Client::Network(network(caller_address(request.headers(), peer, &limits)))
        };
        if matches!(identity, Identity::Unknown) {
            keys.0.nobody.unknown_key.increment(1);
        }
        request.extensions_mut().insert(Caller { client, identity, keys: keys.clone() });
        Ok(())
    })
}

/// Lets only callers on whose key has this scope: 401 or 403 otherwise. For `route_layer`, behind [`identify`].
pub fn require(scope: Scope) -> Gate<impl Decide> {
    Gate(move |request: &mut Request| permit(request, Some(scope)))
}

/// As [`require`], for requests that may change something. Without configured keys it refuses them all, so that nothing
/// is open by accident.
pub fn require_key_to_change(scope: Scope) -> Gate<impl Decide> {
    Gate(move |request: &mut Request| {
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(());
        }
        let open = request.extensions().get::<Caller>().is_some_and(|caller| caller.keys.is_open());
        if open {
            let problem = forbidden("This takes an API key, and none are configured.", "Bearer");
            return Err(Box::new(problem.answer_to(request.headers())));
        }
        permit(request, Some(scope))
    })
}

/// Lets every known key on, whatever its scopes.
pub(crate) fn any_key() -> Gate<impl Decide> {
    Gate(|request: &mut Request| permit(request, None))
}

fn permit(request: &mut Request, scope: Option<Scope>) -> Result<(), Box<Response>> {
    let permitted = Caller::of(request.extensions()).and_then(|caller| caller.permit(scope));
    permitted.map_err(|problem| Box::new(problem.answer_to(request.headers())))
}

/// 401, without a word of what was presented. The challenges are those of RFC 6750, section 3.
fn unauthenticated(detail: &'static str, challenge: &'static str) -> Problem {
    let problem = Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "No known key");
    problem.detail(detail).challenge(challenge)
}

fn forbidden(detail: impl Into<Cow<'static, str>>, challenge: impl Into<Cow<'static, str>>) -> Problem {
    let problem = Problem::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed");
    problem.detail(detail).challenge(challenge)
}

fn lacks(scope: Scope) -> Problem {
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    forbidden(format!("The key lacks the scope {scope}."), challenge)
}

#[cfg(test)]
impl Caller {
    /// A caller at this address where no keys are configured.
    pub(crate) fn open(peer: IpAddr) -> Self {
        let (client, keys) = (Client::Network(network(peer)), Keys::open());
        Self { client, identity: Identity::Open, keys }
    }
}
