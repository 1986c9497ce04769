//! `[server]` of `sluice.toml`: where a service answers HTTP, and whose tokens it takes beside its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

/// The section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerSettings {
    /// Address and port. One that other machines reach needs a token in the state store, or an issuer of identities.
    pub listen: SocketAddr,
    /// Whose signed tokens are taken, too.
    pub oidc: Option<OidcSettings>,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7420), oidc: None }
    }
}

/// `[server.oidc]`: an issuer of identities, and what its tokens may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSettings {
    /// The issuer's URL, as its tokens name it.
    pub issuer: String,
    /// The audience that tokens must be for.
    pub audience: String,
    /// The claim that holds a subject's roles or groups: its name, or the names of objects and claim by points.
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    /// Which values of the claim give which role.
    #[serde(default)]
    pub roles: RoleValues,
}

fn roles_claim() -> String {
    "roles".to_owned()
}

/// Values of the claim by role: by default each role's own name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleValues {
    /// Those that may ask.
    pub read: Vec<String>,
    /// Those that may also run, decide doubts, pause and resume.
    pub operate: Vec<String>,
    /// Those that may also decide about connectors, apply replays and rebuild.
    pub admin: Vec<String>,
}

impl Default for RoleValues {
    fn default() -> Self {
        let own = |name: &str| vec![name.to_owned()];
        Self { read: own("read"), operate: own("operate"), admin: own("admin") }
    }
}
