//! Who calls: `Authorization` and `X-Forwarded-For`.

use epro_notify::platform::{
    admission::{Admission, Needs},
    auth::{Keys, Scope},
    config::Reader,
    limits::{Client, Limiter, Network, Surface, config::LimitsConfig},
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::{net::IpAddr, sync::OnceLock};

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
        Admission::new(Keys::open(), Limiter::new(&config), &config)
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
    assert_eq!(asked.caller.key, None);
}

/// A stranger is counted as who it is, whatever it writes; behind a proxy that is trusted, as some address.
pub fn forwarded_for(bytes: &[u8]) {
    let headers = headers(HeaderName::from_static("x-forwarded-for"), bytes);
    let asked = admission().ask(&headers, STRANGER, Needs::Nothing, Surface::Http);
    assert_eq!(asked.caller.client, Client::Network(Network::from(STRANGER)));
    let asked = admission().ask(&headers, PROXY, Needs::Nothing, Surface::Http);
    assert!(matches!(asked.caller.client, Client::Network(_)));
}
