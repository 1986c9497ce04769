//! The windows of one stream that a run read whole, and what of the latest state isn't in them any more.

use std::collections::{HashMap, HashSet};

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use deltalake::kernel::Add;
use futures::TryStreamExt;

use super::{VanishedRows, WholeWindow};
use crate::append::RunNumber;
use crate::error::Error;
use crate::hash::VANISHED;
use crate::index::{column, keys_of, unreadable, wrong};
use crate::latest::{lay_out, path_of};
use crate::ledger::ConnectorRef;
use crate::scan::{stream_columns, stream_rows};
use crate::table::Table;
use crate::unified::INDEX;

/// How far from a window's ends an instant must be: APIs cut windows at whole seconds or minutes.
const MARGIN: i64 = 60_000_000;
/// How much a wall clock's time may be off if its zone is another.
const ZONES: i64 = 14 * 3_600_000_000;
/// How much later than the first moment of its day a transaction may have been.
const DAY: i64 = 24 * 3_600_000_000;
/// Missing transactions up to which any share of what is known may be missing.
const FEW: usize = 20;

/// The windows of one stream that a run read whole, and all keys that it saw of the stream.
pub(crate) struct Windows {
    pub(crate) run: RunNumber,
    pub(crate) network: String,
    pub(crate) account: String,
    pub(crate) stream: String,
    pub(crate) run_id: String,
    pub(crate) connector: ConnectorRef,
    /// Sorted.
    pub(crate) seen: Vec<u64>,
    pub(crate) windows: Vec<WholeWindow>,
}

/// A transaction that is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Missing {
    pub(super) key: u128,
    pub(super) read_at: i64,
}

/// What the latest state says of one stream's windows.
#[derive(Default)]
struct Finding {
    /// Transactions in the windows.
    known: usize,
    missing: Vec<Missing>,
    /// Files that hold missing ones.
    files: Vec<Add>,
}

/// The rows of the latest state that were in the windows and that the run didn't see, by stream. Each file is read
/// once, however many streams have rows in it.
///
/// Not judged is what is close to a window's end, by how exactly its time is known, and what someone saw after the
/// window was asked for. If half of what is known of a stream is missing, and not just a few, the answers are doubted
/// and nothing of it is judged.
pub(crate) async fn find(streams: &[Windows], latest: &Table) -> Result<Vec<VanishedRows>, Error> {
    let mut findings: Vec<Finding> = streams.iter().map(|_| Finding::default()).collect();
    for add in latest.adds() {
        let concerned: HashMap<(&str, &str), usize> = (0..)
            .zip(streams)
            .filter(|(_, windows)| windows.may_hold(&add))
            .map(|(place, windows)| ((windows.account.as_str(), windows.stream.as_str()), place))
            .collect();
        if !concerned.is_empty() {
            read_file(streams, &concerned, latest, &add, &mut findings).await?;
        }
    }
    let mut gone = Vec::new();
    for (windows, finding) in streams.iter().zip(findings) {
        gone.extend(windows.gone(latest, finding).await?);
    }
    Ok(gone)
}

/// Takes note of a file's transactions that windows should hold, and of those that they don't.
async fn read_file(
    streams: &[Windows],
    concerned: &HashMap<(&str, &str), usize>,
    latest: &Table,
    add: &Add,
    findings: &mut [Finding],
) -> Result<(), Error> {
    let path = path_of(add);
    let failed = |source| unreadable(latest, &path, source);
    let names = [INDEX.key, INDEX.content, INDEX.observed_at, "account", "stream", "transacted_at", "time_basis"];
    let mut batches = stream_columns(latest.store(), &path, &names).await.map_err(failed)?;
    while let Some(batch) = batches.try_next().await.map_err(failed)? {
        let [accounts, names, bases] = ["account", "stream", "time_basis"].map(|name| texts(latest, &batch, name));
        let (accounts, names, bases) = (accounts?, names?, bases?);
        let [times, observed] = ["transacted_at", INDEX.observed_at].map(|name| moments(latest, &batch, name));
        let (times, observed) = (times?, observed?);
        let contents = column(latest, &batch, INDEX.content)?
            .as_binary_opt::<i32>()
            .ok_or_else(|| wrong(latest, INDEX.content, "binary"))?;
        for (row, key) in keys_of(latest, &batch, INDEX.key)?.into_iter().enumerate() {
            let Some(&place) = concerned.get(&(accounts.value(row), names.value(row))) else { continue };
            if contents.value(row) == VANISHED.to_be_bytes() {
                continue;
            }
            let (windows, finding) = (&streams[place], &mut findings[place]);
            let window = windows.window(times.value(row), bases.value(row) == "instant", observed.value(row));
            let Some(window) = window else { continue };
            finding.known += 1;
            if windows.seen.binary_search(&(key as u64)).is_err() {
                finding.missing.push(Missing { key, read_at: window.read_at });
                if finding.files.last().is_none_or(|last| last.path != add.path) {
                    finding.files.push(add.clone());
                }
            }
        }
    }
    Ok(())
}

impl Windows {
    /// What is gone of the stream; none if nothing is, or if the answers are doubted.
    async fn gone(&self, latest: &Table, finding: Finding) -> Result<Option<VanishedRows>, Error> {
        let Finding { known, missing, files } = finding;
        if missing.is_empty() {
            return Ok(None);
        }
        if missing.len() > FEW && missing.len() * 2 >= known {
            let Self { network, account, stream, .. } = self;
            tracing::warn!(
                network,
                account,
                stream,
                missing = missing.len(),
                known,
                "half of the transactions are missing from windows that were read whole: the answers are doubted, and \
                 none is marked as vanished"
            );
            return Ok(None);
        }
        let rows = self.rows(latest, &files, &missing).await?;
        VanishedRows::new(self, latest, rows, &missing).map(Some)
    }

    /// Whether a file may hold transactions of the windows. A transaction's file isn't always that of its month, but
    /// its statistics say what times are in it.
    fn may_hold(&self, add: &Add) -> bool {
        if add.partition_values.get("network").and_then(Option::as_deref) != Some(&self.network) {
            return false;
        }
        let Some((least, greatest)) = times(add) else { return true };
        self.windows.iter().any(|window| least < window.until && greatest >= window.since)
    }

    /// The window that tells of a transaction.
    fn window(&self, time: i64, exact: bool, observed_at: i64) -> Option<&WholeWindow> {
        let holds = |window: &&WholeWindow| {
            let inside = match exact {
                true => window.since + MARGIN <= time && time < window.until - MARGIN,
                false => (window.since..window.until).contains(&time) && self.reaches(time - ZONES, time + DAY + ZONES),
            };
            inside && observed_at < window.sent_at
        };
        self.windows.iter().find(holds)
    }

    /// Whether the windows hold all of a span between them.
    fn reaches(&self, since: i64, until: i64) -> bool {
        let mut reached = since;
        while reached < until {
            let further = self.windows.iter().filter(|window| window.since <= reached && reached < window.until);
            match further.map(|window| window.until).max() {
                Some(until) => reached = until,
                None => return false,
            }
        }
        true
    }

    /// All columns of the missing transactions.
    async fn rows(&self, latest: &Table, files: &[Add], missing: &[Missing]) -> Result<RecordBatch, Error> {
        let keys: HashSet<u128> = missing.iter().map(|missing| missing.key).collect();
        let schema = latest.schema()?;
        let mut found = Vec::new();
        for add in files {
            let path = path_of(add);
            let failed = |source| unreadable(latest, &path, source);
            let mut batches = stream_rows(latest.store(), &path).await.map_err(failed)?;
            while let Some(batch) = batches.try_next().await.map_err(failed)? {
                let mask: BooleanArray =
                    keys_of(latest, &batch, INDEX.key)?.iter().map(|key| Some(keys.contains(key))).collect();
                let batch = filter_record_batch(&batch, &mask).map_err(|source| Error::rows(latest.name(), source))?;
                found.push(lay_out(latest.name(), &batch, &schema, &add.partition_values)?);
            }
        }
        concat_batches(&schema, &found).map_err(|source| Error::rows(latest.name(), source))
    }
}

/// The least and the greatest time in a file, as its statistics say. They are cut at milliseconds.
fn times(add: &Add) -> Option<(i64, i64)> {
    let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref()?).ok()?;
    let time = |bound: &str| {
        let text = stats.get(bound)?.get("transacted_at")?.as_str()?;
        Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
    };
    Some((time("minValues")?, time("maxValues")? + 1_000))
}

fn texts<'a>(table: &Table, rows: &'a RecordBatch, name: &str) -> Result<&'a StringArray, Error> {
    column(table, rows, name)?.as_string_opt::<i32>().ok_or_else(|| wrong(table, name, "text"))
}

fn moments<'a>(table: &Table, rows: &'a RecordBatch, name: &str) -> Result<&'a TimestampMicrosecondArray, Error> {
    let column = column(table, rows, name)?.as_primitive_opt::<TimestampMicrosecondType>();
    column.ok_or_else(|| wrong(table, name, "a timestamp"))
}
