//! Commissions that became null.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::app::{App, open_session};
use crate::failure::Failure;

/// How many transactions of a run had a commission in the version before, and have none now. A run whose versions all
/// have one needn't ask.
///
/// # Errors
/// The lake's failure.
pub(super) async fn nulled(app: &App, network: &str, run_id: &str) -> Result<u64, Failure> {
    let network = network.replace('\'', "''");
    let query = format!(
        "SELECT count(*) FROM unified.transaction_versions v JOIN unified.transaction_versions earlier
             ON earlier.transaction_key = v.transaction_key AND earlier.version = v.version - 1
         WHERE v.network = '{network}' AND earlier.network = '{network}' AND v.run_id = '{run_id}' AND v.version > 1
             AND v.change <> 'vanished' AND v.commission_amount IS NULL AND earlier.commission_amount IS NOT NULL"
    );
    let rows = open_session(app.lake.clone()).await?.query(&query).await?.collect().await?;
    let counts = rows.iter().filter(|rows| rows.num_rows() > 0);
    let counts = counts.filter_map(|rows| rows.column(0).as_primitive_opt::<Int64Type>().map(|count| count.value(0)));
    Ok(counts.map(|count| u64::try_from(count).unwrap_or_default()).sum())
}
