//! What is called, as configuration names it. How its endpoints are found is in `discovery`.

use crate::platform::config::Parse;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The port of name servers, where none is given.
const NAME_SERVER_PORT: u16 = 53;
/// The longest name of a host (RFC 1035).
const HOST_MOST: usize = 253;
const FORM: &str = "must be static://host:port,host:port or dns://name:port or etcd://host:port/prefix";
const LIST: &str = "must name hosts with their ports, joined by commas, as host:port,[::1]:port";
const NAME: &str = "must be dns://name:port, or dns://server:port/name:port for a name server of its own";

/// Where endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `static://host:port,host:port`: these.
    Static(Vec<String>),
    /// `dns://name:port`: the addresses of a name, as of a headless service in Kubernetes. As in gRPC's
    /// naming, `dns://server:port/name:port` asks this name server (an IP address, port 53 by default).
    Dns { name: String, port: u16, server: Option<SocketAddr> },
    /// `etcd://host:port,host:port/prefix`: the values of the keys under `prefix/`.
    Etcd { endpoints: Vec<String>, prefix: String },
}

impl Parse for Target {
    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        match scheme {
            "static" => addresses(rest).map(Self::Static),
            "dns" => dns(rest).ok_or_else(|| NAME.to_owned()),
            "etcd" if cfg!(feature = "etcd") => etcd(rest),
            "etcd" => Err("needs the feature etcd, which this program was built without: \
                           build it with --features etcd, or use static:// or dns://"
                .to_owned()),
            _ => Err(FORM.to_owned()),
        }
    }
}

fn dns(text: &str) -> Option<Target> {
    let (server, name) = match text.split_once('/') {
        Some((server, name)) => (Some(name_server(server)?), name),
        None => (None, text),
    };
    let (name, port) = name.rsplit_once(':')?;
    let is_address = name.parse::<IpAddr>().is_ok();
    let target = Target::Dns { name: name.to_owned(), port: self::port(port)?, server };
    (is_host(name) && !is_address).then_some(target)
}

fn name_server(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, NAME_SERVER_PORT));
    text.parse().ok().filter(|server: &SocketAddr| server.port() > 0).or_else(bare)
}

fn etcd(text: &str) -> Result<Target, String> {
    let (hosts, prefix) = text.split_once('/').ok_or("must have a prefix, as etcd://host:port/prefix")?;
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() || prefix.chars().any(char::is_control) {
        return Err("must have a prefix that keys begin with, as etcd://host:port/prefix".to_owned());
    }
    Ok(Target::Etcd { endpoints: addresses(hosts)?, prefix: prefix.to_owned() })
}

/// Hosts with ports, each once.
fn addresses(text: &str) -> Result<Vec<String>, String> {
    let mut known: Vec<String> = Vec::new();
    for address in text.split(',') {
        if !is_address(address) {
            return Err(LIST.to_owned());
        }
        if known.iter().any(|known| known == address) {
            return Err("must name each address once".to_owned());
        }
        known.push(address.to_owned());
    }
    Ok(known)
}

/// Whether it is `host:port`, with an address of IPv6 in brackets.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = bracketed.map_or_else(|| is_host(host), |ip| ip.parse::<Ipv6Addr>().is_ok());
    fine && self::port(port).is_some()
}

/// Whether it is a name as of DNS (underscores occur in it), or an address of IPv4.
fn is_host(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text).split('.');
    let fine = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.len() <= HOST_MOST && labels.clone().all(fine) && (!numeric || text.parse::<IpAddr>().is_ok())
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_hosts_with_ports() {
        let hosts = ["127.0.0.1:50051", "[::1]:1", "epro-1.internal:65535", "under_score:2", "fqdn.:3"];
        let parsed = Target::parse(&format!("static://{}", hosts.join(",")));
        assert_eq!(parsed, Ok(Target::Static(hosts.map(str::to_owned).to_vec())));
        for text in [
            "",
            ",",
            "a:1,",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            ":1",
            "a b:1",
            "-a:1",
            "a..b:1",
            "::1:1",
            "[::1]",
            "[::1]:",
            "[a]:1",
            "1.2.3:4",
            "999.1.1.1:4",
            "a:1/",
            "u@a:1",
            "a:1, b:2",
            "a:1,a:1",
            "http://a:1",
            "é:1",
        ] {
            assert!(Target::parse(&format!("static://{text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_may_have_a_name_server_of_its_own() {
        let target = |name: &str, port, server: Option<&str>| {
            let server = server.map(|server| server.parse().unwrap());
            Ok(Target::Dns { name: name.to_owned(), port, server })
        };
        assert_eq!(Target::parse("dns://epro.svc:50051"), target("epro.svc", 50051, None));
        assert_eq!(Target::parse("dns://127.0.0.1:5353/a:1"), target("a", 1, Some("127.0.0.1:5353")));
        assert_eq!(Target::parse("dns://[::1]:5353/a:1"), target("a", 1, Some("[::1]:5353")));
        assert_eq!(Target::parse("dns://10.0.0.1/a:1"), target("a", 1, Some("10.0.0.1:53")));
        for text in
            ["", "a", "a:0", "a:b", "127.0.0.1:1", "a:1,b:2", "name/a:1", "1.1.1.1:0/a:1", "/a:1", "a:1/"]
        {
            assert!(Target::parse(&format!("dns://{text}")).is_err(), "{text}");
        }
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn a_prefix_may_have_slashes_and_begin_with_one() {
        let target = |prefix: &str| {
            Ok(Target::Etcd {
                endpoints: vec!["a:1".to_owned(), "[::1]:2".to_owned()],
                prefix: prefix.to_owned(),
            })
        };
        assert_eq!(Target::parse("etcd://a:1,[::1]:2/services/epro/"), target("services/epro"));
        assert_eq!(Target::parse("etcd://a:1,[::1]:2//epro"), target("/epro"));
        for text in ["a:1", "a:1/", "a:1//", "/epro", "a/epro", "a:1,/epro"] {
            assert!(Target::parse(&format!("etcd://{text}")).is_err(), "{text}");
        }
    }

    #[cfg(not(feature = "etcd"))]
    #[test]
    fn without_the_feature_a_target_of_etcd_is_refused_by_its_name() {
        assert!(Target::parse("etcd://a:1/epro").is_err_and(|fault| fault.contains("the feature etcd")));
    }

    #[test]
    fn an_unknown_scheme_is_told_the_known_ones() {
        for text in ["", "a:1", "http://a:1", "static:a:1", "STATIC://a:1"] {
            assert_eq!(Target::parse(text), Err(FORM.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(static|dns|etcd)://\\PC*|(static|dns|etcd)://[a-z0-9:,./\\[\\]-]*|\\PC*") {
            let _ = Target::parse(&text);
        }

        #[test]
        fn each_address_that_is_taken_is_one_that_can_be_connected_to(text in "[a-z0-9.:\\[\\]_-]{1,20}") {
            if is_address(&text) {
                let uri: http::Uri = format!("http://{text}").parse().unwrap();
                prop_assert!(uri.host().is_some() && uri.port_u16().is_some());
            }
        }
    }
}
