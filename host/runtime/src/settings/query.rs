//! `[query]` of `sluice.toml`: heavy queries are spread over the services with the role `query`.

use std::net::SocketAddr;

use serde::Deserialize;
use url::Url;

use crate::failure::Failure;

/// The section. Without it each query runs on the host that it is asked of.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuerySettings {
    /// Where a service of this host takes parts of queries, by address and port.
    pub listen: SocketAddr,
    /// What other hosts call it by, `http://host:port`; without: where it listens.
    pub address: Option<Url>,
    /// Files that a query reads at least to be spread, in mebibytes.
    #[serde(default = "spread_from_mb")]
    pub spread_from_mb: u64,
}

fn spread_from_mb() -> u64 {
    256
}

impl QuerySettings {
    /// Fails for an address that no other host could call.
    ///
    /// # Errors
    /// A settings failure that names the key.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match &self.address {
            Some(address) if address.scheme() != "http" || address.host_str().is_none() => {
                Err(Failure::settings(format!("query.address = \"{address}\" is no address of a host"))
                    .hint("write address = \"http://10.0.0.5:5540\": calls aren't encrypted, so keep them in a network of your own"))
            }
            None if self.listen.ip().is_unspecified() => {
                Err(Failure::settings(format!("query.listen = \"{}\" names no host for others to call", self.listen))
                    .hint("add what they call this host by: address = \"http://10.0.0.5:5540\""))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::settings::tests::section;

    #[test]
    fn others_can_call_what_is_set() {
        let read = |text: &str| section(text, QuerySettings::check);
        assert_eq!(read("listen = \"127.0.0.1:5540\"").unwrap().spread_from_mb, 256);
        assert!(read("listen = \"0.0.0.0:5540\"\naddress = \"http://query-1:5540\"").is_ok());
        assert!(read("listen = \"0.0.0.0:5540\"").unwrap_err().contains("query.listen"));
        assert!(read("listen = \"0.0.0.0:5540\"\naddress = \"https://query-1:5540\"").is_err());
        assert!(read("listen = \"0.0.0.0\"").is_err());
    }
}
