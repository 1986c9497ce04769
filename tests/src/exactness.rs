//! What holds of the tables of transactions whatever was read, when, and by how many writers.

use anyhow::ensure;
use serde_json::Value;
use sluice_simulator::Simulator;

use crate::{Operator, lake_sums, true_sums};

/// Claims, each with a query for the transactions that break it.
pub const CLAIMS: [(&str, &str); 5] = [
    (
        "no version of a transaction comes twice",
        "SELECT transaction_key, version, count(*) AS n FROM unified.transaction_versions \
         GROUP BY transaction_key, version HAVING count(*) > 1",
    ),
    (
        "the versions of a transaction are 1 to n",
        "SELECT transaction_key, max(version) AS last, count(*) AS n FROM unified.transaction_versions \
         GROUP BY transaction_key HAVING max(version) <> count(*) OR min(version) <> 1",
    ),
    (
        "all versions of a transaction are in one month",
        "SELECT transaction_key, count(DISTINCT month) AS n FROM unified.transaction_versions \
         GROUP BY transaction_key HAVING count(DISTINCT month) > 1",
    ),
    (
        "no transaction is twice in the latest state",
        "SELECT transaction_key, count(*) AS n FROM unified.transactions \
         GROUP BY transaction_key HAVING count(*) > 1",
    ),
    (
        "the latest state is the highest version of each transaction",
        "SELECT coalesce(v.transaction_key, t.transaction_key) AS transaction_key, v.last, t.version \
         FROM (SELECT transaction_key, max(version) AS last FROM unified.transaction_versions \
               GROUP BY transaction_key) v \
         FULL JOIN unified.transactions t ON v.transaction_key = t.transaction_key \
         WHERE v.last IS NULL OR t.version IS NULL OR v.last <> t.version",
    ),
];

/// The claims that don't hold of an operator's lake, each with how many transactions break it and some of them.
///
/// # Errors
/// What the binary says.
pub fn broken_claims(operator: &Operator) -> anyhow::Result<Vec<String>> {
    let mut broken = Vec::new();
    for (claim, query) in CLAIMS {
        let count = operator.sql(&format!("SELECT count(*) AS n FROM ({query})"))?[0]["n"].clone();
        if count != 0 {
            let some = operator.sql(&format!("{query} LIMIT 3"))?;
            broken.push(format!("{claim}, but for {count}, like {}", Value::from(some)));
        }
    }
    Ok(broken)
}

/// Fails unless an operator's lake keeps all claims, and holds what these networks report now.
///
/// # Errors
/// What doesn't hold, or what the binary says.
pub fn check_exact(operator: &Operator, simulator: &Simulator, networks: &[&str]) -> anyhow::Result<()> {
    let broken = broken_claims(operator)?;
    ensure!(broken.is_empty(), "{broken:#?}");
    for network in networks {
        let (held, reported) = (lake_sums(operator, network)?, true_sums(simulator, network));
        ensure!(held == reported, "the lake holds {held:#?}, {network} reports {reported:#?}");
    }
    Ok(())
}

/// Fails if a run is recorded twice in an operator's lake.
///
/// # Errors
/// The runs that are, or what the binary says.
pub fn check_runs_once(operator: &Operator) -> anyhow::Result<()> {
    let twice = operator.sql("SELECT run_id, count(*) AS n FROM meta.runs GROUP BY run_id HAVING count(*) > 1")?;
    ensure!(twice.is_empty(), "runs that are recorded twice: {twice:?}");
    Ok(())
}
