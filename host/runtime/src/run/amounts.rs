//! What a run's versions change of money, beside the amounts themselves.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde::Serialize;
use sluice_model::describe;

use super::report::RunReport;
use super::session;
use crate::app::App;
use crate::duplicates::{quoted, texts};
use crate::failure::Failure;
use crate::text::thousands;

/// How many transactions of a run changed in which way, compared with the version before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MoneyChanges {
    /// They had a commission, and have none.
    pub amounts_nulled: u64,
    /// Their commission is zero and wasn't, with the same status.
    pub amounts_zeroed: u64,
    /// Their commission is 100 or 1,000 times what it was, or that part of it.
    pub units_changed: u64,
    /// Their commission is in another currency.
    pub currencies_changed: u64,
    /// They had sub-ids, and have none.
    pub sub_ids_lost: u64,
    /// Their status was known, and isn't.
    pub statuses_lost: u64,
}

impl MoneyChanges {
    /// A phrase for each that there is.
    pub(super) fn texts(&self) -> Vec<String> {
        let counts = [
            (self.amounts_nulled, "commission became null", "commissions became null"),
            (self.amounts_zeroed, "commission became zero", "commissions became zero"),
            (self.units_changed, "commission changed by a unit", "commissions changed by a unit"),
            (self.currencies_changed, "commission changed its currency", "commissions changed their currency"),
            (self.sub_ids_lost, "transaction lost its sub-ids", "transactions lost their sub-ids"),
            (self.statuses_lost, "status became unknown", "statuses became unknown"),
        ];
        let text = |(number, one, many): (u64, &str, &str)| match number {
            1 => format!("1 {one}"),
            number => format!("{} {many}", thousands(number)),
        };
        counts.into_iter().filter(|(number, ..)| *number > 0).map(text).collect()
    }
}

/// Counts into a run's report how commissions changed. A run whose answers are like those before doesn't ask the tables: of
/// such a one it isn't known, unless it changed no transaction that was known. `may_have_moved`: answers are unlike those
/// before, or the run was resumed. All is committed: a query that fails now is a warning.
pub(super) async fn count(app: &App, network: &str, report: &mut RunReport, may_have_moved: bool) {
    let causes = report.versions.causes;
    let of_known = causes.changed + causes.late_attribution + causes.remapped + causes.reappeared;
    let is_asked = may_have_moved || causes.without_amount > 0;
    report.versions.money = None;
    if report.new_versions == 0 || (of_known == 0 && !is_asked) {
        report.versions.money = Some(MoneyChanges::default());
    } else if is_asked {
        match changes(app, network, &report.run_id).await {
            Ok(money) => report.versions.money = Some(money),
            Err(failure) => report
                .warnings
                .push(format!("how commissions changed wasn't counted: {}", describe(failure.error.as_ref()))),
        }
    }
}

/// How transactions of a run changed.
async fn changes(app: &App, network: &str, run_id: &str) -> Result<MoneyChanges, Failure> {
    let session = session(app).await?;
    let (network, run_id) = (quoted(network), quoted(run_id));
    let of_run = format!(
        "SELECT DISTINCT month FROM unified.transaction_versions
         WHERE network = {network} AND run_id = {run_id} AND version > 1"
    );
    let months = texts::<1>(&session, &of_run).await?;
    let months: Vec<String> = months.iter().map(|[month]| quoted(month)).collect();
    if months.is_empty() {
        return Ok(MoneyChanges::default());
    }
    let rows = session.query(&counts(&network, &run_id, &months.join(", "))).await?.collect().await?;
    let count = |column: usize| {
        let counts = rows.iter().filter(|rows| rows.num_rows() > 0);
        let counts = counts.filter_map(|rows| rows.column(column).as_primitive_opt::<Int64Type>());
        counts.map(|count| u64::try_from(count.value(0)).unwrap_or_default()).sum::<u64>()
    };
    Ok(MoneyChanges {
        amounts_nulled: count(0),
        amounts_zeroed: count(1),
        units_changed: count(2),
        currencies_changed: count(3),
        sub_ids_lost: count(4),
        statuses_lost: count(5),
    })
}

/// The query of what changed in some months. All versions of a transaction are in one: no other is read.
fn counts(network: &str, run_id: &str, months: &str) -> String {
    let sub_ids = |of: &str| format!("coalesce(array_to_string(map_values({of}.sub_ids), ''), '')");
    let (before, now) = (sub_ids("earlier"), sub_ids("v"));
    format!(
        "SELECT count(*) FILTER (WHERE commission IS NULL AND earlier_commission IS NOT NULL),
             count(*) FILTER (WHERE commission = 0 AND earlier_commission <> 0 AND status = earlier_status),
             count(*) FILTER (WHERE abs(commission / nullif(earlier_commission, 0)) BETWEEN 99.99 AND 100.01
                 OR abs(commission / nullif(earlier_commission, 0)) BETWEEN 999.9 AND 1000.1
                 OR abs(earlier_commission / nullif(commission, 0)) BETWEEN 99.99 AND 100.01
                 OR abs(earlier_commission / nullif(commission, 0)) BETWEEN 999.9 AND 1000.1),
             count(*) FILTER (WHERE upper(currency) <> upper(earlier_currency)),
             count(*) FILTER (WHERE sub_ids = '' AND earlier_sub_ids <> ''),
             count(*) FILTER (WHERE status = 'unknown' AND earlier_status <> 'unknown')
         FROM (SELECT CAST(v.commission_amount AS DOUBLE) AS commission,
                 CAST(earlier.commission_amount AS DOUBLE) AS earlier_commission,
                 v.commission_currency AS currency, earlier.commission_currency AS earlier_currency,
                 v.validation_status AS status, earlier.validation_status AS earlier_status,
                 {now} AS sub_ids, {before} AS earlier_sub_ids
             FROM unified.transaction_versions v JOIN unified.transaction_versions earlier
                 ON earlier.transaction_key = v.transaction_key AND earlier.month = v.month
                     AND earlier.version = v.version - 1
             WHERE v.network = {network} AND earlier.network = {network} AND v.run_id = {run_id} AND v.version > 1
                 AND v.month IN ({months}) AND earlier.month IN ({months}) AND is_live(v.content_hash)) AS changes"
    )
}
