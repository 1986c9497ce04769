//! Accounts that were read, by what identifies them at the network.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::requests::{column, read, times};
use super::rows::{text, time};
use super::tables::ACCOUNTS;
use crate::error::Error;
use crate::lake::Lake;

const COLUMNS: [&str; 5] = ["network", "account", "name", "identity", "since"];

/// An account, in `meta.accounts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRow {
    /// The connector's network id.
    pub network: String,
    /// The account's id: what tables call it.
    pub account: String,
    /// The operator's name for it.
    pub name: String,
    /// The settings that identify it, as JSON by name.
    pub identity: String,
    /// When it was first read so.
    pub since: DateTime<Utc>,
}

impl Lake {
    /// The accounts of a network that were read, by id, each as it was read last.
    ///
    /// # Errors
    /// A table that can't be read.
    pub async fn accounts(&self, network: &str) -> Result<BTreeMap<String, AccountRow>, Error> {
        let table = self.system_table(ACCOUNTS.name).await?;
        let mut accounts: BTreeMap<String, AccountRow> = BTreeMap::new();
        for file in table.files() {
            for rows in read(&table, &file, &COLUMNS).await? {
                let [networks, ids, names, identities] =
                    ["network", "account", "name", "identity"].map(|name| column(&rows, name));
                let (networks, ids, names, identities) = (networks?, ids?, names?, identities?);
                let since = times(&rows, "since")?;
                for row in (0..rows.num_rows()).filter(|&row| networks.value(row) == network) {
                    let Some(since) = DateTime::from_timestamp_micros(since.value(row)) else { continue };
                    let account = AccountRow {
                        network: network.to_owned(),
                        account: ids.value(row).to_owned(),
                        name: names.value(row).to_owned(),
                        identity: identities.value(row).to_owned(),
                        since,
                    };
                    let is_newer = accounts.get(&account.account).is_none_or(|known| known.since <= account.since);
                    if is_newer {
                        accounts.insert(account.account.clone(), account);
                    }
                }
            }
        }
        Ok(accounts)
    }

    /// Adds accounts to `meta.accounts`.
    ///
    /// # Errors
    /// A table that can't be written.
    pub async fn append_accounts(&self, rows: &[AccountRow]) -> Result<(), Error> {
        let columns = [
            ("network", text(rows, |row| Some(row.network.clone()))),
            ("account", text(rows, |row| Some(row.account.clone()))),
            ("name", text(rows, |row| Some(row.name.clone()))),
            ("identity", text(rows, |row| Some(row.identity.clone()))),
            ("since", time(rows, |row| row.since)),
        ];
        self.append_rows("meta", ACCOUNTS.name, ACCOUNTS.rows(columns)?).await
    }
}
