//! Which client a request is counted against: the holder of a key, or the address that called. Behind a trusted proxy that
//! is the one that it names in `X-Forwarded-For`. `Forwarded` (RFC 7239) is not read: a proxy that only knows
//! `X-Forwarded-For` would pass on whatever its caller wrote there.

use crate::{LimitsConfig, auth::KeyName};
use http::{HeaderMap, HeaderName};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Who shares a bucket of the rate limit, and a scope for idempotency keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// The holder of a known key, wherever it calls from.
    Key(KeyName),
    /// Everybody else, by the address that called: of IPv6 the first 64 bits, within which a host may change its own.
    Network(IpAddr),
}

/// An address as clients are told apart: IPv6 by its /64, within which a host may change its own.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// As idempotency keys are scoped: never in a line or a label.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(name) => write!(f, "key:{name}"),
            Self::Network(network) => write!(f, "{network}"),
        }
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that called. Behind a trusted proxy it is the rightmost hop of `X-Forwarded-For` (all its lines
/// as one) that is no trusted proxy, or the leftmost if all are. A hop that is no address ends the search with
/// the one to its right: no proxy that we know wrote what stands left of it.
///
/// Each trusted proxy appends the address that it was called from. The caller wrote everything further left,
/// which is never looked at.
pub(crate) fn caller_address(headers: &HeaderMap, peer: IpAddr, proxies: &LimitsConfig) -> IpAddr {
    if !proxies.trusts(peer) {
        return peer;
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut caller = peer;
    for hop in hops.map(<[u8]>::trim_ascii) {
        // An empty item of a list means nothing (RFC 9110, 5.6.1).
        if hop.is_empty() {
            continue;
        }
        let Some(address) = address(hop) else { break };
        caller = address;
        if !proxies.trusts(address) {
            break;
        }
    }
    caller
}

/// An address, with or without a port; IPv6 also in brackets.
fn address(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?;
    let bracketed = || Some(IpAddr::V6(text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?));
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    text.parse().ok().or_else(with_port).or_else(bracketed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn proxies() -> LimitsConfig {
        let trusted_proxies = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).to_vec();
        LimitsConfig { trusted_proxies, ..LimitsConfig::default() }
    }

    fn told(peer: &str, lines: &[&str]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        caller_address(&headers, peer.parse().unwrap(), &proxies())
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_hop_that_is_none_called() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "10.0.0.1"),
            (&[""], "10.0.0.1"),
            (&["192.0.2.7"], "192.0.2.7"),
            (&["6.6.6.6, 192.0.2.7"], "192.0.2.7"),
            (&["6.6.6.6", "192.0.2.7 ,10.1.1.1", "10.2.2.2"], "192.0.2.7"),
            (&["192.0.2.7", "fd00::1"], "192.0.2.7"),
            (&["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
            (&["192.0.2.7:4711"], "192.0.2.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["[2001:db8::7]"], "2001:db8::7"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["192.0.2.7, ,,"], "192.0.2.7"),
            (&["::ffff:10.2.2.2"], "::ffff:10.2.2.2"),
            (&["192.0.2.7, ::ffff:10.2.2.2"], "192.0.2.7"),
            // What is no address ends the search at the last that was one.
            (&["192.0.2.7, unknown"], "10.0.0.1"),
            (&["192.0.2.7, for=192.0.2.8, 10.2.2.2"], "10.2.2.2"),
            (&["192.0.2.7, 192.0.2.300"], "10.0.0.1"),
            (&["192.0.2.7, fe80::1%eth0"], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            assert_eq!(told("10.0.0.1", lines), expected.parse::<IpAddr>().unwrap(), "{lines:?}");
        }
    }

    #[test]
    fn a_dual_stack_listeners_form_of_a_proxy_is_trusted_too() {
        assert_eq!(told("::ffff:10.0.0.1", &["192.0.2.7"]), "192.0.2.7".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_mapped_address_and_a_whole_64_are_one_client() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("::1"), of("0.0.0.0"));
    }

    fn headers(lines: &[Vec<u8>]) -> HeaderMap {
        let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
        values.map(|value| (X_FORWARDED_FOR, value)).collect()
    }

    proptest! {
        #[test]
        fn no_bytes_panic(lines in proptest::collection::vec(
            prop_oneof![any::<Vec<u8>>(), "[0-9a-f:.,\\[\\] ]{0,40}".prop_map(String::into_bytes)], 0..5,
        )) {
            let _ = caller_address(&headers(&lines), [10, 0, 0, 1].into(), &proxies());
            let _ = lines.iter().map(|line| address(line)).collect::<Vec<_>>();
        }

        #[test]
        fn an_untrusted_peers_header_is_worth_nothing(lines in any::<Vec<Vec<u8>>>(), forged: IpAddr) {
            let forged = forged.to_string().into_bytes();
            let headers = headers(&[lines, vec![forged]].concat());
            let peer = [192, 0, 2, 1].into();
            prop_assert_eq!(caller_address(&headers, peer, &proxies()), peer);
        }

        #[test]
        fn nothing_left_of_what_the_proxy_appended_is_worth_anything(
            lines in any::<Vec<Vec<u8>>>(), forged in "[0-9a-f:., \\[\\]]{0,60}", caller: u16,
        ) {
            let caller = IpAddr::from([192, 0, (caller >> 8) as u8, caller as u8]);
            let appended = format!("{forged}, {caller}").into_bytes();
            let headers = headers(&[lines, vec![appended]].concat());
            prop_assert_eq!(caller_address(&headers, [10, 0, 0, 1].into(), &proxies()), caller);
        }
    }
}
