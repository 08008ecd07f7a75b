//! Settings of the registration: where, and as what.

use crate::platform::{
    config::{Parse, Reader},
    grpc::client::{Target, is_address},
};
use std::net::SocketAddr;

/// Where a server tells that it is there.
#[derive(Clone, Debug)]
pub struct RegisterConfig {
    /// Of etcd, as `host:port`.
    pub endpoints: Vec<String>,
    pub prefix: String,
    /// The `host:port` that others reach it at, if not its listener's own.
    pub advertise: Option<String>,
}

/// `etcd://host:port,host:port/prefix`, and nothing else that a target may be.
struct Registry {
    endpoints: Vec<String>,
    prefix: String,
}

/// `host:port`.
struct Advertised(String);

impl RegisterConfig {
    /// Reads `grpc.register` and `grpc.advertise`, for the listener at `listen`.
    pub fn read(reader: &mut Reader, listen: SocketAddr) -> Option<Self> {
        let registry: Option<Registry> =
            reader.optional("grpc.register", "where to register, as etcd://host:port/prefix");
        let advertise: Option<Advertised> =
            reader.optional("grpc.advertise", "host:port that is registered; grpc.listen if it is unset");
        if registry.is_none() && advertise.is_some() {
            reader.fault("grpc.advertise", "has no effect without grpc.register".to_owned());
        }
        if registry.is_some() && advertise.is_none() && listen.ip().is_unspecified() {
            let fault = "must be set where grpc.listen is every address: others can't connect to that";
            reader.fault("grpc.advertise", fault.to_owned());
        }
        let advertise = advertise.map(|Advertised(address)| address);
        registry.map(|Registry { endpoints, prefix }| Self { endpoints, prefix, advertise })
    }
}

impl Parse for Registry {
    fn parse(text: &str) -> Result<Self, String> {
        match text.starts_with("etcd://").then(|| Target::parse(text)) {
            Some(Ok(Target::Etcd { endpoints, prefix })) => Ok(Self { endpoints, prefix }),
            Some(Err(fault)) => Err(fault),
            _ => Err("must be etcd://host:port/prefix".to_owned()),
        }
    }
}

impl Parse for Advertised {
    fn parse(text: &str) -> Result<Self, String> {
        let fine = is_address(text).then(|| Self(text.to_owned()));
        fine.ok_or_else(|| "must be a host with a port, as host:port or [::1]:port".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(values: &[(&str, &str)], listen: &str) -> String {
        let mut reader = Reader::for_tests(values);
        let _ = RegisterConfig::read(&mut reader, listen.parse().unwrap());
        reader.finish().err().map(|faults| faults.to_string()).unwrap_or_default()
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn what_is_registered_can_be_connected_to() {
        let register = ("grpc.register", "etcd://127.0.0.1:2379/epro");
        assert_eq!(faults(&[register], "127.0.0.1:1"), "");
        assert!(faults(&[register], "0.0.0.0:1").contains("every address"));
        assert_eq!(faults(&[register, ("grpc.advertise", "epro-0:1")], "[::]:1"), "");
        assert!(faults(&[register, ("grpc.advertise", "epro-0")], "127.0.0.1:1").contains("host:port"));
    }

    #[cfg(not(feature = "etcd"))]
    #[test]
    fn without_the_feature_its_name_is_told() {
        assert!(
            faults(&[("grpc.register", "etcd://127.0.0.1:1/epro")], "127.0.0.1:1").contains("feature etcd")
        );
    }

    #[test]
    fn only_etcd_can_be_registered_with() {
        assert!(
            faults(&[("grpc.register", "static://127.0.0.1:1")], "127.0.0.1:1").contains("must be etcd://")
        );
        assert!(faults(&[("grpc.advertise", "127.0.0.1:1")], "127.0.0.1:1").contains("no effect"));
    }
}
