//! What is called, as the configuration names it. How its endpoints are found is in `discovery`.

use http::uri::Authority;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const FORM: &str = "must be static://host:port,host:port or dns://name:port or etcd://host:port/prefix";
const DNS: &str = "must be dns://name:port, or dns://server:port/name:port to ask a certain name server";
const PREFIX: &str = "must have a prefix that keys begin with, as etcd://host:port/prefix";
const WITHOUT_ETCD: &str = "needs the feature etcd, which this program was built without: build it with \
                            --features etcd, or use static:// or dns://";
/// The port of a name server, where none is given.
const NAME_SERVER_PORT: u16 = 53;

/// Where endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `static://host:port,host:port`: these.
    Static(Vec<String>),
    /// `dns://name:port`: the addresses of a name, such as that of a headless Service in Kubernetes. As in gRPC
    /// naming, `dns://server:port/name:port` asks this name server (an IP address; port 53 by default).
    Dns { name: String, port: u16, server: Option<SocketAddr> },
    /// `etcd://host:port,host:port/prefix`: the values of the keys under `prefix/`.
    Etcd { members: Vec<String>, prefix: String },
}

/// Checks that a text is `host:port`, with an address of IPv6 in brackets.
pub(crate) fn address(text: &str) -> Result<String, &'static str> {
    let valid = text.parse().is_ok_and(|authority: Authority| {
        let port = authority.port_u16().unwrap_or_default();
        !authority.host().is_empty() && port > 0 && !text.contains(['@', '+'])
    });
    if valid { Ok(text.to_owned()) } else { Err("must be a host with a port, as host:port or [::1]:port") }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://").ok_or(FORM)? {
            ("static", list) => addresses(list).map(Self::Static),
            ("dns", rest) => dns(rest).ok_or(DNS),
            ("etcd", _) if cfg!(not(feature = "etcd")) => Err(WITHOUT_ETCD),
            ("etcd", rest) => {
                let (list, prefix) = rest.trim_end_matches('/').split_once('/').ok_or(PREFIX)?;
                Ok(Self::Etcd { members: addresses(list)?, prefix: prefix.to_owned() })
            }
            _ => Err(FORM),
        }
    }
}

fn dns(text: &str) -> Option<Target> {
    let (server, address) = match text.split_once('/') {
        Some((server, address)) => {
            let ip = server.parse().map(|ip: IpAddr| SocketAddr::new(ip, NAME_SERVER_PORT));
            (Some(server.parse().or(ip).ok()?), address)
        }
        None => (None, text),
    };
    let address = self::address(address).ok()?;
    let (name, port) = address.rsplit_once(':')?;
    let is_ip = address.starts_with('[') || name.parse::<IpAddr>().is_ok();
    (!is_ip).then_some(Target::Dns { name: name.to_owned(), port: port.parse().ok()?, server })
}

fn addresses(text: &str) -> Result<Vec<String>, &'static str> {
    text.split(',').map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_hosts_with_ports() {
        let hosts = ["127.0.0.1:50051", "[::1]:1", "shop-1.internal:65535", "under_score:2", "fqdn.:3"];
        let parsed = format!("static://{}", hosts.join(",")).parse();
        assert_eq!(parsed, Ok(Target::Static(hosts.map(str::to_owned).to_vec())));
        for text in [
            "", ",", "a:1,", "a", "a:", "a:0", "a:65536", "a:+1", ":1", "a b:1", "::1:1", "[::1]", "[::1]:",
            "a:1/", "u@a:1", "a:1, b:2", "http://a:1",
        ] {
            assert!(format!("static://{text}").parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_may_have_a_name_server_of_its_own() {
        let target = |name: &str, port, server: Option<&str>| {
            let server = server.map(|server| server.parse().unwrap());
            Ok(Target::Dns { name: name.to_owned(), port, server })
        };
        assert_eq!("dns://shop.svc:50051".parse(), target("shop.svc", 50051, None));
        assert_eq!("dns://127.0.0.1:5353/a:1".parse(), target("a", 1, Some("127.0.0.1:5353")));
        assert_eq!("dns://[::1]:5353/a:1".parse(), target("a", 1, Some("[::1]:5353")));
        assert_eq!("dns://10.0.0.1/a:1".parse(), target("a", 1, Some("10.0.0.1:53")));
        for text in ["", "a", "a:0", "a:b", "127.0.0.1:1", "[::1]:1", "a:1,b:2", "name/a:1", "/a:1", "a:1/"] {
            assert!(format!("dns://{text}").parse::<Target>().is_err(), "{text}");
        }
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn a_prefix_may_have_slashes_and_begin_with_one() {
        let target = |prefix: &str| {
            let members = ["a:1", "[::1]:2"].map(str::to_owned).to_vec();
            Ok(Target::Etcd { members, prefix: prefix.to_owned() })
        };
        assert_eq!("etcd://a:1,[::1]:2/services/shop/".parse(), target("services/shop"));
        assert_eq!("etcd://a:1,[::1]:2//shop".parse(), target("/shop"));
        for text in ["a:1", "a:1/", "a:1//", "/shop", "a/shop", "a:1,/shop"] {
            assert!(format!("etcd://{text}").parse::<Target>().is_err(), "{text}");
        }
    }

    #[cfg(not(feature = "etcd"))]
    #[test]
    fn a_missing_feature_is_named() {
        assert!("etcd://a:1/shop".parse::<Target>().is_err_and(|fault| fault.contains("the feature etcd")));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(static|dns|etcd)://\\PC*|(static|dns|etcd)://[a-z0-9:,./\\[\\]-]*|\\PC*") {
            let _ = text.parse::<Target>();
        }

        #[test]
        fn an_address_that_is_accepted_can_be_connected_to(text in "[a-z0-9.:\\[\\]_-]{1,20}") {
            if address(&text).is_ok() {
                let uri: http::Uri = format!("http://{text}").parse().unwrap();
                prop_assert!(uri.host().is_some() && uri.port_u16().is_some());
            }
        }
    }
}
