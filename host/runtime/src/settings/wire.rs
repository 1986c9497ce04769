//! `[wire]` of `sluice.toml`: where a service answers clients of PostgreSQL.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::failure::Failure;

/// The section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WireSettings {
    /// Address and port. One that other machines reach needs a token in the state store.
    pub listen: SocketAddr,
    /// Connections at once, each a process; more are refused.
    pub connections: usize,
    /// Queries at once, each with the time, memory and rows of `[limits]`; others wait.
    pub queries: usize,
}

impl Default for WireSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7432), connections: 32, queries: 2 }
    }
}

impl WireSettings {
    /// Fails if nothing at all would be allowed.
    ///
    /// # Errors
    /// A settings failure that names the key.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let wrong =
            [("connections", self.connections), ("queries", self.queries)].into_iter().find(|(_, most)| *most == 0);
        match wrong {
            Some((key, _)) => Err(Failure::settings(format!("wire.{key} = 0 lets nobody ask"))
                .hint("leave it out for the default, or leave out [wire]")),
            None => Ok(()),
        }
    }
}
