//! Registers a server in etcd, so that clients with `etcd://` find it, as go-zero does.

use crate::{Target, target::address};
use conf::Conf;
use std::net::SocketAddr;

/// Settings of the registration, flattened into those of the listener.
#[derive(Clone, Debug, Conf)]
#[conf(validation_predicate = RegisterConfig::check)]
pub struct RegisterConfig {
    /// Where the server registers, as etcd://host:port,host:port/prefix.
    #[arg(env, value_parser = registry)]
    pub register: Option<Target>,
    /// The host:port that is registered, if not the listener's own.
    #[arg(env, value_parser = address)]
    pub advertise: Option<String>,
}

fn registry(text: &str) -> Result<Target, &'static str> {
    if text.starts_with("etcd://") { text.parse() } else { Err("must be etcd://host:port,host:port/prefix") }
}

impl RegisterConfig {
    fn check(&self) -> Result<(), &'static str> {
        let useless = self.advertise.is_some() && self.register.is_none();
        if useless { Err("advertise has no effect without register") } else { Ok(()) }
    }

    /// Checks that clients can connect to what is registered, for a listener on `listen`.
    ///
    /// # Errors
    /// `advertise` has to be set.
    pub fn check_for(&self, listen: SocketAddr) -> Result<(), &'static str> {
        let needed = self.register.is_some() && self.advertise.is_none() && listen.ip().is_unspecified();
        let fault = "must be set where listen is every address: clients can't connect to that";
        if needed { Err(fault) } else { Ok(()) }
    }

    /// Registers the server whose listener is bound to `bound` until `stop` resolves. The future resolves once
    /// the registration is withdrawn (or could not be, within two seconds), so that the listener may close: a
    /// server that is withdrawn gets no new clients. Without a registration it just waits for `stop`.
    #[cfg_attr(not(feature = "etcd"), expect(unused_variables, reason = "there is no registration"))]
    pub async fn hold(&self, bound: SocketAddr, stop: impl Future<Output = ()>) {
        match &self.register {
            #[cfg(feature = "etcd")]
            Some(Target::Etcd { members, prefix }) => {
                let advertised = self.advertise.clone().unwrap_or_else(|| bound.to_string());
                crate::etcd::hold(members, prefix, advertised, stop).await;
            }
            _ => stop.await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(env: &[(&'static str, &'static str)]) -> Result<RegisterConfig, String> {
        RegisterConfig::try_parse_from(["test"], env.iter().copied()).map_err(|error| error.to_string())
    }

    #[cfg(feature = "etcd")]
    #[test]
    fn clients_can_connect_to_what_is_registered() {
        let register = ("REGISTER", "etcd://127.0.0.1:2379/shop");
        let config = read(&[register]).unwrap();
        let every = "0.0.0.0:1".parse().unwrap();
        assert!(config.check_for("127.0.0.1:1".parse().unwrap()).is_ok() && config.check_for(every).is_err());
        assert!(read(&[register, ("ADVERTISE", "shop-0:1")]).unwrap().check_for(every).is_ok());
        assert!(read(&[register, ("ADVERTISE", "shop-0")]).unwrap_err().contains("host:port"));
    }

    #[test]
    fn only_etcd_can_be_registered_with() {
        assert!(read(&[("REGISTER", "static://127.0.0.1:1")]).unwrap_err().contains("must be etcd://"));
        assert!(read(&[("ADVERTISE", "127.0.0.1:1")]).unwrap_err().contains("no effect"));
        assert!(read(&[]).is_ok());
    }
}
