//! An account of a run, which is open as long as one of its slices is read.

use std::sync::{Arc, Weak};

use sluice_fetch::{Account, Fetcher};
use tokio::sync::Mutex;

use crate::failure::Failure;
use crate::network::Network;

/// How an account of a network is opened. Tens of thousands may be due at once, of which a few are read at a time: its secrets
/// are held by the slices that are read. Sign-ins, tokens and rates are the fetcher's, and outlive it.
pub struct RunAccount {
    network: Arc<Network>,
    fetcher: Fetcher,
    /// The account's id in tables.
    id: String,
    open: Mutex<Weak<Account>>,
}

impl RunAccount {
    pub(super) fn new(network: Arc<Network>, fetcher: Fetcher, id: &str) -> Self {
        Self { network, fetcher, id: id.to_owned(), open: Mutex::default() }
    }

    /// The way to the network, which slices that are read at once share. Its secrets are read when none has it.
    ///
    /// # Errors
    /// A settings failure for an account that is gone, or a missing setting, secret or right.
    pub async fn open(&self) -> Result<Arc<Account>, Failure> {
        let mut open = self.open.lock().await;
        if let Some(account) = open.upgrade() {
            return Ok(account);
        }
        let Self { network, fetcher, id, .. } = self;
        let account = network.settings.content.accounts.iter().find(|account| account.id() == *id);
        let account = account.ok_or_else(|| Failure::settings(format!("account `{id}` is no longer there")))?;
        let account = Arc::new(fetcher.account(network.access(account).await?)?);
        *open = Arc::downgrade(&account);
        Ok(account)
    }
}
