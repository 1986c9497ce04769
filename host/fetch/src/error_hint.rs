//! What a person can do about an error.

use crate::error::Error;

impl Error {
    /// A remedy for the operator, with the setting to change where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Host { network, host, manifest, operator } => Some(host_hint(network, host, *manifest, *operator)),
            Self::PrivateAddress { network, host } => Some(format!(
                "if you mean a sandbox or a proxy of your own, set `\"base_url\": \"https://{host}\"` in networks/{network}.json"
            )),
            Self::MissingSecret { network, account, slot, .. } => Some(format!(
                "add `\"{slot}\": \"env:{}\"` to `secrets` of account `{account}` in networks/{network}.json",
                format!("{network}_{slot}").to_uppercase().replace('-', "_")
            )),
            Self::MissingSetting { network, account, setting, .. } => Some(format!(
                "add `\"{setting}\": \"…\"` to `settings` of account `{account}` in networks/{network}.json"
            )),
            Self::Credentials { network, account, .. } => {
                Some(format!("check the `secrets` of account `{account}` in networks/{network}.json"))
            }
            Self::Timeout { what, .. } => Some(raise(what.setting(), "be that slow")),
            Self::TooLarge { what: "headers", .. } => Some(raise("max_header_bytes", "send that much")),
            Self::TooLarge { .. } => Some(format!(
                "{}; it is at most a quarter of `memory_mb` under [limits]",
                raise("max_body_bytes", "send that much")
            )),
            Self::Spool { .. } => Some(
                "bodies of more than 256 KiB are kept in the folder of the lake, or of the state store, or of temporary \
                 files, until they have come whole: see that its disk has space"
                    .to_owned(),
            ),
            Self::Bomb { .. } => Some(raise("max_ratio", "send that")),
            Self::Deferred { .. } => Some(
                "a later run sends the request again; to wait longer within a run, raise `max_retry_wait_secs` under \
                 [fetch] in sluice.toml"
                    .to_owned(),
            ),
            Self::Redirect { network, .. } => Some(format!(
                "check whether the network has moved: `hosts` or `base_url` in networks/{network}.json may be out of date"
            )),
            Self::TokenStore { .. } => Some(
                "check `url` of `[state]` in sluice.toml; a token that was granted is stored at the next attempt"
                    .into(),
            ),
            Self::Sealed { network, account, .. } => Some(format!(
                "put back the `key` of `[state]` that was in sluice.toml when they were stored; if it is lost, delete \
                 their row from the table `tokens` of the state store and give account `{account}` of \
                 networks/{network}.json a new refresh token"
            )),
            Self::NoTokenStore { hint, .. } => Some(hint.clone()),
            _ => None,
        }
    }
}

/// The lines that allow a host, in the files where they are missing.
fn host_hint(network: &str, host: &str, manifest: bool, operator: bool) -> String {
    let files = match (manifest, operator) {
        (true, _) => format!("networks/{network}.json"),
        (false, true) => format!("the manifest of connector `{network}`"),
        (false, false) => format!("the manifest of connector `{network}` and in networks/{network}.json"),
    };
    format!("add `\"{host}\"` to `hosts` in {files}")
}

fn raise(setting: &str, known_to: &str) -> String {
    format!("if the network is known to {known_to}, raise `{setting}` under [fetch] in sluice.toml")
}
