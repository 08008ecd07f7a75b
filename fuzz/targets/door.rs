//! Who calls: `Authorization`, `X-Forwarded-For`, and the file of keys.

use epro_notify::platform::{
    admission::{Admission, Needs},
    auth::{Key, Keys, Scope, parse_keys},
    config::Reader,
    limits::{Client, Limiter, Network, Surface, config::LimitsConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::{net::IpAddr, sync::OnceLock};

/// The one key that is known.
const KEY: &str = "a-key";
const PROXY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const STRANGER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn admission() -> &'static Admission {
    static DOOR: OnceLock<Admission> = OnceLock::new();
    DOOR.get_or_init(|| {
        let settings = [
            ("limits.trusted_proxies", "10.0.0.0/8"),
            ("limits.max_clients", "1000"),
            ("limits.per_client.rate", "1000000"),
            ("limits.per_client.burst", "1000000"),
        ];
        let config = LimitsConfig::read(&mut Reader::for_tests(&settings));
        let key = Key::of("known".parse().unwrap(), "operate".parse().unwrap(), KEY);
        Admission::new(Keys::of(vec![key]), Limiter::new(&config), &config)
    })
}

fn headers(name: HeaderName, bytes: &[u8]) -> HeaderMap {
    let lines = bytes.split(|byte| *byte == b'\n');
    lines.filter_map(|line| Some((name.clone(), HeaderValue::from_bytes(line).ok()?))).collect()
}

/// Nobody is let in who has no key that is known.
pub fn authorization(bytes: &[u8]) {
    let headers = headers(header::AUTHORIZATION, bytes);
    let asked = admission().ask(&headers, STRANGER, Needs::Scope(Scope::Operate), Surface::Http);
    // Blanks around a value are no part of it (RFC 9110, 5.5), and how many stand within it is no secret.
    let words = headers.values().flat_map(|value| value.as_bytes().split(u8::is_ascii_whitespace));
    let last = words.filter(|word| !word.is_empty()).last();
    let presented = headers.len() == 1 && last == Some(KEY.as_bytes());
    assert!(asked.verdict.is_err() || presented, "somebody was let in");
    assert_eq!(asked.verdict.is_ok(), asked.caller.key.is_some());
}

/// A stranger is counted as who it is, whatever it writes; behind a proxy that is trusted, as some address.
pub fn forwarded_for(bytes: &[u8]) {
    let headers = headers(HeaderName::from_static("x-forwarded-for"), bytes);
    let asked = admission().ask(&headers, STRANGER, Needs::Nothing, Surface::Http);
    assert_eq!(asked.caller.client, Client::Network(Network::from(STRANGER)));
    let asked = admission().ask(&headers, PROXY, Needs::Nothing, Surface::Http);
    assert!(matches!(asked.caller.client, Client::Network(_)));
}

/// A key that is read is written as a line that is read the same.
pub fn key_file(bytes: &[u8]) {
    match parse_keys(&super::text(bytes)) {
        Ok(keys) => {
            let lines: Vec<String> = keys.iter().map(Key::line).collect();
            assert_eq!(parse_keys(&lines.join("\n")), Ok(keys));
        }
        Err(faults) => assert!(!faults.is_empty()),
    }
}
