//! The history of a transaction: each version, its cause, and the record that it came from.

mod evidence;
mod history;

use sluice_query::Session;

pub use evidence::{Evidence, Origin, RawResponse, Record};
pub(crate) use history::texts;
pub use history::{Absence, Changed, TransactionIdentity, Version};

use crate::app::{open_engine, open_lake, open_session};
use crate::failure::Failure;
use crate::settings::Settings;

/// Transactions that are offered when a name fits several.
const OFFERED: usize = 10;

/// A transaction with its versions and what each came from.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its names.
    pub of: TransactionIdentity,
    /// Its versions in order.
    pub versions: Vec<(Version, Origin)>,
    /// The read that did without it, if it isn't decided yet whether it has vanished.
    pub absent: Option<Absence>,
}

/// The versions of a transaction: each with its cause, what changed, the request and the record that it came from.
/// What raw has lost is a problem of the version.
///
/// # Errors
/// A name that fits none or several, or the lake's failure.
pub async fn explain(settings: &Settings, name: &str) -> Result<Explanation, Failure> {
    let lake = open_lake(settings).await?;
    let session = open_session(lake.clone()).await?;
    let of = identify(&session, name).await?;
    let versions = history::versions(&session, &of).await?;
    let absent = history::absence(&session, &of).await?;
    let mut evidence = Evidence::new(lake, open_engine(settings)?, settings.fetch.clone());
    let mut explained = Explanation { of, versions: Vec::with_capacity(versions.len()), absent };
    for version in versions {
        let origin = evidence.of(&version).await;
        explained.versions.push((version, origin));
    }
    Ok(explained)
}

/// The one transaction that a key, its beginning, or `network/account/transaction_id` names.
async fn identify(session: &Session, name: &str) -> Result<TransactionIdentity, Failure> {
    let literal = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut parts = name.splitn(3, '/');
    let condition = match (parts.next(), parts.next(), parts.next()) {
        (Some(network), Some(account), Some(id)) => format!(
            "network = {} AND account = {} AND transaction_id = {}",
            literal(network),
            literal(account),
            literal(id)
        ),
        _ if is_key(name) => format!("starts_with(transaction_key, {})", literal(&name.to_lowercase())),
        _ => {
            return Err(Failure::usage(format!("`{name}` names no transaction"))
                .hint("write a transaction_key, its beginning, or network/account/transaction_id"));
        }
    };
    let mut found = history::identities(session, &condition, OFFERED + 1).await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::failed(anyhow::anyhow!("no transaction `{name}` in the lake")).hint(
            "find it: sluice sql \"SELECT transaction_key, network, account, transaction_id \
             FROM unified.transactions WHERE order_id = '…'\"",
        )),
        number => {
            let more = if number > OFFERED { ", among others" } else { "" };
            let known: Vec<String> = found.iter().take(OFFERED).map(ToString::to_string).collect();
            Err(Failure::usage(format!("`{name}` fits several transactions"))
                .hint(format!("write one of these keys{more}:\n  {}", known.join("\n  "))))
        }
    }
}

/// 32 hexadecimal digits, or the first of them.
fn is_key(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
