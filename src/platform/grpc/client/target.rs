//! What is called, as configuration names it.

use crate::platform::config::Parse;

/// Where endpoints are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `static://host:port,host:port`: these.
    Static(Vec<String>),
    /// `dns://name:port`: the addresses of a name, as of a headless service in Kubernetes.
    Dns { name: String, port: u16 },
    /// `etcd://host:port/prefix`: the values of the keys under a prefix.
    Etcd { endpoint: String, prefix: String },
}

impl Parse for Target {
    fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str =
            "must be static://host:port,host:port or dns://name:port or etcd://host:port/prefix";
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        match scheme {
            "static" => Ok(Self::Static(rest.split(',').map(str::to_owned).collect())),
            "dns" => {
                let (name, port) = rest.rsplit_once(':').ok_or(FORM)?;
                Ok(Self::Dns { name: name.to_owned(), port: port.parse().map_err(|_| FORM)? })
            }
            "etcd" => {
                let (endpoint, prefix) = rest.split_once('/').ok_or(FORM)?;
                Ok(Self::Etcd { endpoint: endpoint.to_owned(), prefix: prefix.to_owned() })
            }
            _ => Err(FORM.to_owned()),
        }
    }
}
