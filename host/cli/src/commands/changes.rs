//! `sluice changes`: the change feed.

use std::io::Write;

use sluice_lake::ChangeFilter;
use sluice_runtime::app::open_lake;
use sluice_runtime::changes::page;
use sluice_runtime::failure::Failure;
use sluice_runtime::settings::Settings;

use crate::arguments::ChangesArgs;

/// Prints a page of the feed, as JSON in either form: it is for programs.
///
/// # Errors
/// A usage failure for what is no cursor; the lake's failure.
pub(super) async fn changes(settings: &Settings, args: &ChangesArgs) -> Result<(), Failure> {
    let mut reader = open_lake(settings).await?.change_reader().await?;
    let filter = ChangeFilter {
        networks: args.network.iter().cloned().collect(),
        changes: args.change.iter().cloned().collect(),
    };
    let page = page(&mut reader, args.after.as_deref(), &filter, args.limit as usize).await?;
    // Not by way of a value, whose numbers are floats.
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(&page).map_err(Failure::failed)?)?)
}
