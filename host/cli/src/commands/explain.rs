//! `sluice explain`: how a transaction came to be what it is.

mod evidence;
mod history;
mod render;

use std::io::Write;

use sluice_query::Session;

use self::evidence::Evidence;
use self::history::Identity;
use self::render::Told;
use sluice_runtime::app::{open_engine, open_lake};
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;

use super::sql;
use crate::arguments::ExplainArgs;

/// Transactions that are offered when a name fits several.
const OFFERED: usize = 10;

/// Tells every version of a transaction: its cause, what changed, the request and the record that it came from.
///
/// # Errors
/// A name that fits none or several, or the lake's failure. Evidence that is gone is told as such.
pub(super) async fn explain(settings: &Settings, args: &ExplainArgs, json: bool) -> Result<(), Failure> {
    let session = sql::open(settings).await?;
    let of = identify(&session, &args.transaction).await?;
    let versions = history::versions(&session, &of).await?;
    let mut evidence = Evidence::new(open_lake(settings).await?, open_engine(settings)?);
    let mut told = Told { of, versions: Vec::with_capacity(versions.len()) };
    for version in versions {
        let found = evidence.of(&told.of.stream, &version).await;
        told.versions.push((version, found));
    }
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &told.json()).map_err(Failure::failed)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", told.text())?;
    }
    Ok(out.flush()?)
}

/// The one transaction that a key, its beginning, or `network/account/transaction_id` names.
async fn identify(session: &Session, name: &str) -> Result<Identity, Failure> {
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
        count => {
            let more = if count > OFFERED { ", among others" } else { "" };
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
