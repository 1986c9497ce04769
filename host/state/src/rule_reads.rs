//! Which look-back rules a run of the schedule has read, and of which accounts.
//!
//! `schedule_times` has the moment of each rule for a network as a whole. An account that couldn't be read then has a row of
//! its own in `rule_reads` with the moment before, until it is read again: so the rule stays due for it, and for no other. As
//! long as nothing fails there is one row for each rule, however many accounts there are.

use std::collections::BTreeSet;

use sqlx::Row;

use crate::database::Statements;
use crate::error::Error;
use crate::runs::Selection;
use crate::schedule_times::rule_entry;

/// How a run ended for the look-back rules that it was to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// They were read, except for these accounts: an account's id and a rule's key.
    Read {
        /// What wasn't read, or not completely.
        unread: BTreeSet<(String, String)>,
    },
    /// None was.
    Unread,
}

impl RunEnd {
    /// All was read.
    pub fn all_read() -> Self {
        Self::Read { unread: BTreeSet::new() }
    }

    /// The accounts of a run for which a rule wasn't read.
    fn unread(&self, rule: &str, selection: &Selection) -> Vec<String> {
        match self {
            Self::Unread => selection.accounts.clone(),
            Self::Read { unread } => {
                let of_rule = unread.iter().filter(|(_, of)| of == rule);
                of_rule.map(|(account, _)| account.clone()).collect()
            }
        }
    }
}

/// Notes for which accounts a run of a moment of the schedule has read its rules. `entry`: of the moment.
pub(crate) async fn note(
    statements: &mut Statements,
    network: &str,
    entry: &str,
    selection: &Selection,
    end: &RunEnd,
) -> Result<(), Error> {
    let rounds = sqlx::query("SELECT rule FROM rounds WHERE network = $1 AND entry = $2");
    let rows = statements.fetch_all(rounds.bind(network.to_owned()).bind(entry.to_owned())).await?;
    let of_all = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?;
    for rule in selection.rules.iter().flatten() {
        let name = rule_entry(rule, selection.stream.as_deref());
        if *end == RunEnd::Unread && selection.accounts.is_empty() {
            let forget = sqlx::query("DELETE FROM rounds WHERE network = $1 AND entry = $2 AND rule = $3");
            statements.execute(forget.bind(network).bind(entry).bind(&name)).await?;
            continue;
        }
        let unread = end.unread(rule, selection);
        if of_all.contains(&name) {
            for account in &unread {
                keep_earlier(statements, network, &name, account).await?;
            }
        }
        forget_read(statements, network, &name, selection, &unread).await?;
    }
    Ok(())
}

/// Keeps for an account the moment at which a rule was read before, though the network's will be a later one.
async fn keep_earlier(statements: &mut Statements, network: &str, entry: &str, account: &str) -> Result<(), Error> {
    let query = sqlx::query(
        "INSERT INTO rule_reads (network, entry, account, read_at) VALUES ($1, $2, $3,
             coalesce((SELECT happened_at FROM schedule_times WHERE network = $1 AND entry = $2), ''))
         ON CONFLICT (network, entry, account) DO NOTHING",
    );
    statements.execute(query.bind(network.to_owned()).bind(entry.to_owned()).bind(account.to_owned())).await?;
    Ok(())
}

/// Those that were read count as read when the network was: never too late, since that isn't after they were.
async fn forget_read(
    statements: &mut Statements,
    network: &str,
    entry: &str,
    selection: &Selection,
    unread: &[String],
) -> Result<(), Error> {
    let query = sqlx::query("SELECT account FROM rule_reads WHERE network = $1 AND entry = $2");
    for row in statements.fetch_all(query.bind(network.to_owned()).bind(entry.to_owned())).await? {
        let account: String = row.try_get(0)?;
        let is_read = selection.accounts.is_empty() || selection.accounts.contains(&account);
        if is_read && !unread.contains(&account) {
            let query = sqlx::query("DELETE FROM rule_reads WHERE network = $1 AND entry = $2 AND account = $3");
            statements.execute(query.bind(network.to_owned()).bind(entry.to_owned()).bind(account)).await?;
        }
    }
    Ok(())
}

/// Notes that the last run of a moment is over: its rules count as read, of all accounts but those that have a row of their
/// own.
pub(crate) async fn note_over(statements: &mut Statements, network: &str, entry: &str) -> Result<(), Error> {
    let read = sqlx::query(
        "INSERT INTO schedule_times (network, entry, happened_at)
         SELECT network, rule, began_at FROM rounds WHERE network = $1 AND entry = $2
         ON CONFLICT (network, entry) DO UPDATE SET happened_at = excluded.happened_at",
    );
    statements.execute(read.bind(network.to_owned()).bind(entry.to_owned())).await?;
    let forget = sqlx::query("DELETE FROM rounds WHERE network = $1 AND entry = $2");
    statements.execute(forget.bind(network.to_owned()).bind(entry.to_owned())).await?;
    Ok(())
}
