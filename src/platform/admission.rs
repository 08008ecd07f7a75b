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
    /// No key, or one that is not known.
    Unauthenticated,
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
        let identified = self.keys.identify(headers);
        let key = match &identified {
            Identified::Holder(holder) => Some(holder.name.clone()),
            Identified::Open | Identified::Nobody => None,
        };
        let client = match &key {
            Some(name) => Client::Key(name.clone()),
            None => Client::Network(caller_address(headers, peer, &self.proxies).into()),
        };
        let decision = self.limiter.check(&client, surface);
        let verdict = if decision.allowed { permitted(&identified, needs) } else { Err(Refused::Limited) };
        Asked { caller: Caller { client, key }, decision, verdict }
    }
}

fn permitted(identified: &Identified, needs: Needs) -> Result<(), Refused> {
    match (identified, needs) {
        (Identified::Open, _) | (_, Needs::Nothing) | (Identified::Holder(_), Needs::Key) => Ok(()),
        (Identified::Nobody, _) => Err(Refused::Unauthenticated),
        (Identified::Holder(holder), Needs::Scope(scope)) => {
            if holder.scopes.contains(scope) {
                Ok(())
            } else {
                Err(Refused::Forbidden(scope))
            }
        }
    }
}
