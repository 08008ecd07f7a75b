//! Whether a call is let in: who calls, how much they may, whether they may this, asked in this order by
//! every surface. What a refusal looks like is the surface's matter.

use super::{
    auth::{Identified, KeyName, Keys, Scope},
    limits::{
        Client, Decision, Limiter, Surface, caller_address,
        config::{LimitsConfig, PerClient},
    },
};
use http::HeaderMap;
use std::net::IpAddr;

/// What a call needs to be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing: it shows the same to everybody.
    Nothing,
    /// A known key, with whatever scopes.
    Key,
    /// A known key with this scope.
    Scope(Scope),
}

/// Who calls; an extension of every request that reaches a handler.
#[derive(Clone, Debug)]
pub struct Caller {
    pub client: Client,
    /// The key's name, where one was presented that is known.
    pub key: Option<KeyName>,
}

impl Caller {
    /// Whoever calls from an address, without a key.
    pub fn of(peer: IpAddr) -> Self {
        Self { client: Client::Network(peer.into()), key: None }
    }
}

/// Why a call is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Too many; see the decision.
    Limited,
    Denied(Denied),
}

/// Why a caller may not do this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// It takes a key, and no key file is configured.
    NoKeys,
    /// No known key.
    Unauthenticated {
        /// Whether one was presented that is not known.
        presented: bool,
    },
    /// The key lacks this scope.
    Forbidden(Scope),
}

/// What was found out about a call.
#[derive(Clone, Debug)]
pub struct Asked {
    pub caller: Caller,
    pub decision: Decision,
    pub verdict: Result<(), Refused>,
}

/// The door of every surface. Cheap to clone.
#[derive(Clone)]
pub struct Admission {
    keys: Keys,
    limiter: Limiter,
    proxies: LimitsConfig,
}

impl Admission {
    /// `limiter` is the one of all surfaces; `config` says which proxies are believed.
    pub fn new(keys: Keys, limiter: Limiter, config: &LimitsConfig) -> Self {
        Self { keys, limiter, proxies: config.clone() }
    }

    /// What each client may.
    pub fn limit(&self) -> PerClient {
        self.limiter.limit()
    }

    /// Asks about one call. A failed identity is charged to the address that called, never to a key.
    pub fn ask(&self, headers: &HeaderMap, peer: IpAddr, needs: Needs, surface: Surface) -> Asked {
        let (key, permitted) = identify(&self.keys, headers, needs);
        let client = match &key {
            Some(name) => Client::Key(name.clone()),
            None => Client::Network(caller_address(headers, peer, &self.proxies).into()),
        };
        let decision = self.limiter.check(&client, surface);
        let verdict =
            if decision.allowed { permitted.map_err(Refused::Denied) } else { Err(Refused::Limited) };
        Asked { caller: Caller { client, key }, decision, verdict }
    }
}

/// Whose key is presented, if it is known, and whether its holder may do this; counted, whether the rate
/// limit then lets it or not. For a surface without a rate limit it is all that is asked.
pub(in crate::platform) fn identify(
    keys: &Keys,
    headers: &HeaderMap,
    needs: Needs,
) -> (Option<KeyName>, Result<(), Denied>) {
    let identified = keys.identify(headers);
    let permitted = permitted(&identified, needs);
    let counts = keys.counts(&identified);
    match permitted {
        Ok(()) => counts.ok.increment(1),
        Err(Denied::Unauthenticated { .. }) => counts.unknown_key.increment(1),
        Err(Denied::Forbidden(_) | Denied::NoKeys) => counts.forbidden.increment(1),
    }
    (identified.name().cloned(), permitted)
}

fn permitted(identified: &Identified, needs: Needs) -> Result<(), Denied> {
    match (identified, needs) {
        (Identified::Open, _) | (_, Needs::Nothing) | (Identified::Holder(_), Needs::Key) => Ok(()),
        (Identified::Unknown, _) => Err(Denied::Unauthenticated { presented: true }),
        (Identified::Nobody, _) => Err(Denied::Unauthenticated { presented: false }),
        (Identified::Holder(holder), Needs::Scope(scope)) => {
            if holder.scopes.contains(scope) {
                Ok(())
            } else {
                Err(Denied::Forbidden(scope))
            }
        }
    }
}
