//! The `Host` of a request: there once, and a loopback name where everybody may do everything.

use crate::{Decide, Gate, Problem};
use axum::extract::Request;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};
use std::net::IpAddr;

/// Answers a missing, repeated or malformed `Host` with 400, and where `open` (no API keys are configured) a name or
/// address that is not a loopback one with 421. Otherwise a web page could point its own name at this machine (DNS
/// rebinding) and call with the rights of everybody.
pub fn host_check(open: bool) -> Gate<impl Decide> {
    Gate(move |request: &mut Request| {
        check(request.uri(), request.headers(), open)
            .map_err(|problem| Box::new(problem.answer_to(request.headers())))
    })
}

fn check(uri: &Uri, headers: &HeaderMap, open: bool) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, repeated) = (hosts.next(), hosts.next().is_some());
    if repeated || (host.is_none() && uri.authority().is_none()) {
        return Err(Problem::bad_request("Send one Host header."));
    }
    let parsed = |host: &HeaderValue| Authority::try_from(host.as_bytes()).ok();
    let host = host.map(|host| parsed(host).filter(|authority| !authority.as_str().contains('@')));
    if matches!(host, Some(None)) {
        return Err(Problem::bad_request("The Host header is not a host with an optional port."));
    }
    let named = [host.as_ref().and_then(Option::as_ref), uri.authority()];
    if open && !named.into_iter().flatten().all(|authority| is_loopback(authority.host())) {
        let title = "Not served under this name";
        return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "misdirected", title)
            .detail("No API keys are configured, so only loopback names such as localhost are served."));
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = address.parse::<IpAddr>() {
        return address.to_canonical().is_loopback();
    }
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uri: &str, hosts: &[&str], open: bool) -> u16 {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        }
        check(&uri.parse().unwrap(), &headers, open)
            .map_or_else(|problem| problem.status().as_u16(), |()| 200)
    }

    #[test]
    fn without_keys_only_loopback_names_are_served() {
        let loopback = [
            "localhost", "LOCALHOST:80", "localhost.", "a.localhost:1", "127.0.0.1:8080", "127.9.9.9",
            "[::1]", "[::1]:8080", "[::ffff:127.0.0.1]",
        ];
        for host in loopback {
            assert_eq!(status("/", &[host], true), 200, "{host}");
        }
        let others = [
            "evil.example", "localhost.evil.example", "notlocalhost", "10.0.0.1", "0.0.0.0", "[::2]:1",
            "127.0.0.1.evil.example", "localhost..", "localhost-evil.example", "xn--localhost-9za", "127.1",
            "2130706433", "0x7f000001", "[::ffff:10.0.0.1]",
        ];
        for host in others {
            assert_eq!(status("/", &[host], true), 421, "{host}");
            assert_eq!(status("/", &[host], false), 200, "{host}");
            assert_eq!(status(&format!("http://{host}/"), &["localhost"], true), 421, "{host}");
        }
    }

    #[test]
    fn a_missing_repeated_or_malformed_host_cannot_be_served() {
        for open in [true, false] {
            assert_eq!(status("/", &[], open), 400);
            assert_eq!(status("http://localhost/", &[], open), 200, "HTTP/2 sends :authority");
            assert_eq!(status("/", &["localhost", "localhost"], open), 400);
            for host in [
                "", "a b", "user@localhost", "localhost/x", "localhost?x", "localhost#x", "[::1", "::1",
                "ключ",
            ] {
                assert_eq!(status("/", &[host], open), 400, "{host}");
            }
        }
    }
}
