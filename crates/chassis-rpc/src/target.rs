//! What is called, as the configuration names it. How its endpoints are found is in `discovery`.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The port of a name server, where none is given.
const NAME_SERVER_PORT: u16 = 53;
/// The longest name of a host (RFC 1035).
const HOST_MAX: usize = 253;
const FORM: &str = "must be static://host:port,host:port or dns://name:port or etcd://host:port/prefix";
const LIST: &str = "must name hosts with their ports, joined by commas, as host:port,[::1]:port";
const NAME: &str = "must be dns://name:port, or dns://server:port/name:port to ask a certain name server";
const PREFIX: &str = "must have a prefix that keys begin with, as etcd://host:port/prefix";
const WITHOUT_ETCD: &str = "needs the feature etcd, which this program was built without: build it with \
                            --features etcd, or use static:// or dns://";

/// Where endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `static://host:port,host:port`: these.
    Static(Vec<Address>),
    /// `dns://name:port`: the addresses of a name, such as that of a headless Service in Kubernetes. As in gRPC
    /// naming, `dns://server:port/name:port` asks this name server (an IP address; port 53 by default).
    Dns { name: String, port: u16, server: Option<SocketAddr> },
    /// `etcd://host:port,host:port/prefix`: the values of the keys under `prefix/`.
    Etcd { members: Vec<Address>, prefix: String },
}

/// `host:port`, an address of IPv6 in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(String);

impl Address {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "must be a host with a port, as host:port or [::1]:port";
        let (host, port) = text.rsplit_once(':').ok_or(FORM)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let valid = bracketed.map_or_else(|| is_host(host), |ip| ip.parse::<Ipv6Addr>().is_ok());
        if valid && parse_port(port).is_some() { Ok(Self(text.to_owned())) } else { Err(FORM) }
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://").ok_or(FORM)? {
            ("static", rest) => addresses(rest).map(Self::Static),
            ("dns", rest) => dns(rest).ok_or(NAME),
            ("etcd", rest) if cfg!(feature = "etcd") => etcd(rest),
            ("etcd", _) => Err(WITHOUT_ETCD),
            _ => Err(FORM),
        }
    }
}

fn dns(text: &str) -> Option<Target> {
    let (server, name) = match text.split_once('/') {
        Some((server, name)) => (Some(name_server(server)?), name),
        None => (None, text),
    };
    let (name, port) = name.rsplit_once(':')?;
    let is_ip = name.parse::<IpAddr>().is_ok();
    let target = Target::Dns { name: name.to_owned(), port: parse_port(port)?, server };
    (is_host(name) && !is_ip).then_some(target)
}

fn name_server(text: &str) -> Option<SocketAddr> {
    let bare = || text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, NAME_SERVER_PORT));
    text.parse().ok().filter(|server: &SocketAddr| server.port() > 0).or_else(bare)
}

fn etcd(text: &str) -> Result<Target, &'static str> {
    let (hosts, prefix) = text.split_once('/').ok_or(PREFIX)?;
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() || prefix.chars().any(char::is_control) {
        return Err(PREFIX);
    }
    Ok(Target::Etcd { members: addresses(hosts)?, prefix: prefix.to_owned() })
}

fn addresses(text: &str) -> Result<Vec<Address>, &'static str> {
    let list: Vec<Address> = text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| LIST)?;
    let repeated =
        list.iter().enumerate().any(|(at, address)| list.iter().take(at).any(|known| known == address));
    if repeated { Err("must name each address once") } else { Ok(list) }
}

/// Whether the text is a DNS name (underscores occur in practice) or an IPv4 address.
fn is_host(text: &str) -> bool {
    let labels = text.strip_suffix('.').unwrap_or(text).split('.');
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.len() <= HOST_MAX && labels.clone().all(is_label) && (!numeric || text.parse::<IpAddr>().is_ok())
}

/// A port that can be connected to; `u16`'s own parser takes a sign.
fn parse_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().filter(|port| *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_list_is_hosts_with_ports() {
        let hosts = ["127.0.0.1:50051", "[::1]:1", "shop-1.internal:65535", "under_score:2", "fqdn.:3"];
        let parsed = format!("static://{}", hosts.join(",")).parse();
        assert_eq!(parsed, Ok(Target::Static(hosts.map(|host| Address(host.to_owned())).to_vec())));
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
        for text in
            ["", "a", "a:0", "a:b", "127.0.0.1:1", "a:1,b:2", "name/a:1", "1.1.1.1:0/a:1", "/a:1", "a:1/"]
        {
            assert!(format!("dns://{text}").parse::<Target>().is_err(), "{text}");
        }
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn a_prefix_may_have_slashes_and_begin_with_one() {
        let target = |prefix: &str| {
            let members = ["a:1", "[::1]:2"].map(|member| member.parse().unwrap()).to_vec();
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
            if text.parse::<Address>().is_ok() {
                let uri: http::Uri = format!("http://{text}").parse().unwrap();
                prop_assert!(uri.host().is_some() && uri.port_u16().is_some());
            }
        }
    }
}
