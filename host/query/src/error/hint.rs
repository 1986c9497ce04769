//! What a person can do about a failure of a query.

use super::Error;
use crate::names::did_you_mean;
use crate::views::MomentsView;

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Syntax { near, .. } => near.as_ref().map(|near| format!("parsing stopped at `{near}`")),
            Self::UnknownTable { nearest, .. } if !nearest.is_empty() => Some(did_you_mean(nearest)),
            Self::UnknownColumn { nearest, columns, .. } if nearest.is_empty() => {
                (!columns.is_empty()).then(|| format!("there are {}", columns.join(", ")))
            }
            Self::UnknownColumn { nearest, .. } => Some(did_you_mean(nearest)),
            Self::NoVersion { range: Some(range), .. } => Some(format!("there are {range}")),
            Self::Coverage { source } | Self::Tables { source } => source.hint(),
            Self::Unhonoured(source) => source.hint(),
            Self::UnknownFunction { .. } => {
                let known: Vec<String> = MomentsView::ALL.iter().map(|view| format!("`{}`", view.usage())).collect();
                Some(format!("there are {}", known.join(" and ")))
            }
            Self::Arguments { usage, .. } => Some(format!("write `{usage}`")),
            Self::Plan { offer, .. } => offer.clone(),
            other => other.fixed_hint().map(str::to_owned),
        }
    }

    /// Those that say the same of each failure of a kind.
    fn fixed_hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Empty => "try `SELECT count(*) FROM unified.transactions`, or `SHOW TABLES`",
            Self::TooDeep { .. } => "compare with a list (`a IN (…)`) or join with VALUES, or ask in several queries",
            Self::Several { .. } => "run them one by one",
            Self::NotReadOnly { .. } => {
                "use SELECT, WITH, EXPLAIN, DESCRIBE or SHOW; `--format parquet` or `--format csv` keeps a result in a file"
            }
            Self::UnknownTable { .. } => "`SHOW TABLES` lists what there is",
            Self::Memory { .. } | Self::TooLarge { .. } => {
                "read fewer columns or a shorter period, aggregate earlier, or raise query_memory_mb of [limits] in sluice.toml"
            }
            Self::Disk { .. } => {
                "read fewer columns or a shorter period, or raise query_disk_mb of [limits] in sluice.toml"
            }
            Self::TooSlow { .. } => "read a shorter period, or raise query_secs of [limits] in sluice.toml",
            Self::TooManyRows { .. } => "add a LIMIT or a condition, or raise query_rows of [limits] in sluice.toml",
            Self::Worker { .. } => "ask again: hosts that don't answer are left out; `sluice status` shows services",
            Self::Panicked { .. } => "write the query in another way, and report this one",
            Self::NoVersion { .. } => "the table has no versions yet",
            Self::NoVersions { .. } => "it is worked out: write `AT (TIMESTAMP => '2026-01-31')`",
            Self::UnknownVersionClause { .. } => {
                "write `AT (TIMESTAMP => '2026-01-31T12:00:00Z')` or `AT (VERSION => 3)`"
            }
            Self::NoMoment { .. } => {
                "write '2026-01-31', '2026-01-31T12:00:00Z' or now() - INTERVAL '7 days'; it is UTC"
            }
            Self::NoVersionNumber { .. } => "write a whole number: `AT (VERSION => 3)`",
            Self::Backwards { .. } => "swap the two",
            Self::UnknownFormat(_) => "use table, csv, json, parquet or arrow",
            Self::Isolation { .. } => {
                "each query reads the newest commit; `t AT (TIMESTAMP => '2026-01-31T12:00:00Z')` reads the same one each time"
            }
            _ => return None,
        })
    }
}
