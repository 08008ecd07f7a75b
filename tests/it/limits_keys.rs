//! Keys and addresses at the door: what a failed identity costs, and whom it does not concern.

use epro_notify::{
    config::Config,
    platform::{
        admission::{Admission, Asked, Needs},
        auth::{Key, Keys, Scope},
        limits::{Clock, Limiter, Surface, config::LimitsConfig},
    },
};
use http::{HeaderMap, HeaderValue, header};
use std::{net::IpAddr, time::Duration};

const BURST: usize = 5;

/// By a clock that stands still.
fn limiter(config: &LimitsConfig) -> Limiter {
    Limiter::with_clock(config, Clock::new(|| Duration::ZERO))
}

/// Five requests at once, of one remembered address; the keys `sender` and `reader`.
fn door() -> Admission {
    let set =
        [("limits.per_client.rate", "1"), ("limits.per_client.burst", "5"), ("limits.max_clients", "1")];
    let limits = Config::for_tests(&set).unwrap().limits;
    let key = |name: &str, scopes: &str| Key::of(name.parse().unwrap(), scopes.parse().unwrap(), name);
    let keys = Keys::of(vec![key("sender", "send"), key("reader", "read")]);
    Admission::new(keys, limiter(&limits), &limits)
}

/// A call that sends something, by this key from this address.
fn ask(door: &Admission, key: &str, address: u8) -> Asked {
    let value = HeaderValue::try_from(format!("Bearer {key}")).unwrap();
    let headers: HeaderMap = [(header::AUTHORIZATION, value)].into_iter().collect();
    door.ask(&headers, IpAddr::from([192, 0, 2, address]), Needs::Scope(Scope::Send), Surface::Http)
}

/// How many of these calls the limit lets through, whatever is then said of them.
fn counted(door: &Admission, key: &str, addresses: impl IntoIterator<Item = u8>) -> usize {
    addresses.into_iter().filter(|address| ask(door, key, *address).decision.allowed).count()
}

#[test]
fn guessing_is_charged_to_the_address_and_a_valid_key_from_it_does_not_suffer() {
    let door = door();
    for guess in 0..20 {
        let asked = ask(&door, &format!("guess-{guess}"), 1);
        assert_eq!((asked.decision.allowed, asked.verdict.is_err()), (guess < BURST, true));
        assert_eq!(asked.caller.key, None);
    }
    let valid = ask(&door, "sender", 1);
    assert_eq!((valid.verdict, valid.decision.remaining), (Ok(()), 4));
}

#[test]
fn a_key_is_one_client_wherever_it_calls_from_and_each_key_its_own() {
    let door = door();
    assert_eq!(counted(&door, "sender", 0..20), BURST);
    assert_eq!(counted(&door, "reader", 0..20), BURST);
    assert_eq!(counted(&door, "guess", [1; 20]), BURST);
}

#[test]
fn a_forbidden_call_is_charged_to_its_key() {
    let door = door();
    let asked = ask(&door, "reader", 1);
    assert_eq!((asked.verdict.is_err(), asked.decision.remaining), (true, 4));
    assert_eq!(ask(&door, "guess", 1).decision.remaining, 4, "and not to its address");
}

#[test]
fn a_flood_of_addresses_takes_no_keys_place() {
    let door = door();
    // One is remembered, all others share a bucket.
    assert_eq!(counted(&door, "guess", 1..=100), 1 + BURST);
    assert_eq!(counted(&door, "sender", 1..=100), BURST);
}

#[test]
fn a_key_may_bear_the_name_of_an_address() {
    let limits = Config::for_tests(&[("limits.per_client.burst", "5")]).unwrap().limits;
    let named = Key::of("192.0.2.1".parse().unwrap(), "send".parse().unwrap(), "named");
    let door = Admission::new(Keys::of(vec![named]), limiter(&limits), &limits);
    assert_eq!(ask(&door, "guess", 1).decision.remaining, 4);
    assert_eq!(ask(&door, "named", 1).decision.remaining, 4);
}
