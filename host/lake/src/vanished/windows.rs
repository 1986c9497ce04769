//! What a run read of one stream, and what of the latest state isn't in its windows any more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::TimestampMicrosecondType;
use deltalake::kernel::Add;
use futures::TryStreamExt;

use super::{Absences, VanishedRows, WholeWindow};
use crate::append::RunNumber;
use crate::error::Error;
use crate::hash::VANISHED;
use crate::index::{column, keys_of, unreadable, wrong};
use crate::latest::{lay_out, path_of};
use crate::lineage::ConnectorRef;
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

/// What a run read of one stream.
pub(crate) struct StreamRead {
    pub(crate) run: RunNumber,
    pub(crate) network: String,
    pub(crate) account: String,
    pub(crate) stream: String,
    pub(crate) run_id: String,
    pub(crate) connector: ConnectorRef,
    pub(crate) seen: SeenKeys,
    /// When the last of its responses was received.
    pub(crate) last_at: i64,
    /// Those that were read whole and are to be judged.
    pub(crate) windows: Vec<WholeWindow>,
}

/// The transactions that a run saw of a stream.
pub(crate) enum SeenKeys {
    /// The lower halves of all their keys, sorted.
    Keys(Arc<Vec<u64>>),
    /// Not all of them are known: it may be any.
    Anything,
}

impl SeenKeys {
    /// Whether the run may have seen a transaction.
    pub(super) fn holds(&self, key: u128) -> bool {
        match self {
            Self::Keys(keys) => keys.binary_search(&(key as u64)).is_ok(),
            Self::Anything => true,
        }
    }
}

/// A transaction that is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub(super) row: KnownRow,
    /// The window that should have held it.
    pub(super) window: WholeWindow,
}

/// A transaction as the latest state has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownRow {
    pub(super) key: u128,
    time: i64,
    is_exact: bool,
    pub(super) observed_at: i64,
}

/// What the latest state holds of one stream's windows.
#[derive(Default)]
pub(crate) struct AbsenceFinding {
    /// Transactions by the window that covers them.
    known: BTreeMap<usize, usize>,
    pub(crate) missing: Vec<Missing>,
    /// Files that hold missing ones.
    files: Vec<Add>,
    /// Transactions in the windows that were gone before, vanished or removed by a replay, and are still named as absent.
    pub(crate) settled: Vec<u128>,
    /// Windows without any transaction in which the latest state has some.
    doubted: BTreeSet<usize>,
}

/// The rows of the latest state that were in the windows and that the run didn't see, by stream. Each file is read
/// once, however many streams have rows in it.
///
/// Not judged is what is close to a window's end, by how exactly its time is known, what someone saw after the window
/// was asked for, and what was in a window that came back empty. If half of what is known of a stream is missing, and
/// not just a few, the answers are doubted and nothing of it is judged.
pub(crate) async fn find(
    streams: &[StreamRead],
    latest: &Table,
    absent: &Absences,
) -> Result<Vec<AbsenceFinding>, Error> {
    let mut findings: Vec<AbsenceFinding> = streams.iter().map(|_| AbsenceFinding::default()).collect();
    for add in latest.adds() {
        let concerned: HashMap<(&str, &str), usize> = (0..)
            .zip(streams)
            .filter(|(_, stream)| stream.may_hold(&add))
            .map(|(place, stream)| ((stream.account.as_str(), stream.stream.as_str()), place))
            .collect();
        if !concerned.is_empty() {
            Search { streams, latest, absent }.file(&concerned, &add, &mut findings).await?;
        }
    }
    streams.iter().zip(&mut findings).for_each(|(stream, finding)| stream.doubt(finding));
    Ok(findings)
}

/// A search for what is missing.
struct Search<'a> {
    streams: &'a [StreamRead],
    latest: &'a Table,
    absent: &'a Absences,
}

impl Search<'_> {
    /// Records a file's transactions that windows should hold, and those that they don't.
    async fn file(
        &self,
        concerned: &HashMap<(&str, &str), usize>,
        add: &Add,
        findings: &mut [AbsenceFinding],
    ) -> Result<(), Error> {
        let latest = self.latest;
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
                let (stream, finding) = (&self.streams[place], &mut findings[place]);
                let (time, is_exact) = (times.value(row), bases.value(row) == "instant");
                if contents.value(row) == VANISHED.to_be_bytes() {
                    // Others in the file aren't of these windows: what is absent must not depend on the files.
                    if stream.windows.iter().any(|window| window.holds(time)) && self.absent.has(&stream.network, key) {
                        finding.settled.push(key);
                    }
                    continue;
                }
                stream.look_for(finding, add, KnownRow { key, time, is_exact, observed_at: observed.value(row) });
            }
        }
        Ok(())
    }
}

impl StreamRead {
    /// Records whether the run should have seen a transaction, and did.
    fn look_for(&self, finding: &mut AbsenceFinding, add: &Add, row: KnownRow) {
        let empty = self.windows.iter().enumerate().filter(|(_, window)| window.is_empty && window.holds(row.time));
        finding.doubted.extend(empty.map(|(place, _)| place));
        let Some(place) = self.window(&row, &BTreeSet::new()) else { return };
        *finding.known.entry(place).or_default() += 1;
        if self.seen.holds(row.key) {
            return;
        }
        finding.missing.push(Missing { row, window: self.windows[place] });
        if finding.files.last().is_none_or(|last| last.path != add.path) {
            finding.files.push(add.clone());
        }
    }

    /// Leaves out what isn't certain.
    fn doubt(&self, finding: &mut AbsenceFinding) {
        let AbsenceFinding { known, missing, doubted, .. } = finding;
        let known: usize = known.iter().filter(|(place, _)| !doubted.contains(place)).map(|(_, rows)| rows).sum();
        let Self { network, account, stream, .. } = self;
        if !doubted.is_empty() {
            let windows = doubted.len();
            missing.retain_mut(|missing| match self.window(&missing.row, doubted) {
                Some(place) => {
                    missing.window = self.windows[place];
                    true
                }
                None => false,
            });
            tracing::warn!(
                network,
                account,
                stream,
                windows,
                "windows that held transactions came back without any: the answers are doubted, and none is missing"
            );
        }
        if missing.len() > FEW && missing.len() * 2 >= known {
            tracing::warn!(
                network,
                account,
                stream,
                missing = missing.len(),
                known,
                "half of the transactions are missing from windows that were read whole: the answers are doubted, and \
                 none is marked as vanished"
            );
            missing.clear();
        }
    }

    /// Versions that say that these are gone, which are among those that are missing; none if there are none.
    pub(crate) async fn gone(
        &self,
        latest: &Table,
        finding: &AbsenceFinding,
        gone: &[Missing],
    ) -> Result<Option<VanishedRows>, Error> {
        if gone.is_empty() {
            return Ok(None);
        }
        let rows = self.rows(latest, &finding.files, gone).await?;
        VanishedRows::new(self, latest, rows, gone).map(Some)
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

    /// The window that covers a transaction, of those that aren't `doubted`; one that isn't empty goes first.
    fn window(&self, row: &KnownRow, doubted: &BTreeSet<usize>) -> Option<usize> {
        let time = row.time;
        let tells = |window: &WholeWindow| {
            let is_inside = if row.is_exact {
                window.since + MARGIN <= time && time < window.until - MARGIN
            } else {
                window.holds(time) && self.reaches(time - ZONES, time + DAY + ZONES, doubted)
            };
            is_inside && row.observed_at < window.sent_at
        };
        let telling = self.sound(doubted).filter(|(_, window)| tells(window));
        telling.min_by_key(|(_, window)| window.is_empty).map(|(place, _)| place)
    }

    /// The windows that aren't doubted.
    fn sound<'a>(&'a self, doubted: &'a BTreeSet<usize>) -> impl Iterator<Item = (usize, &'a WholeWindow)> {
        self.windows.iter().enumerate().filter(|(place, _)| !doubted.contains(place))
    }

    /// Whether these windows hold all of a span between them.
    fn reaches(&self, since: i64, until: i64, doubted: &BTreeSet<usize>) -> bool {
        let mut reached = since;
        while reached < until {
            let further = self.sound(doubted).filter(|(_, window)| window.since <= reached && reached < window.until);
            match further.map(|(_, window)| window.until).max() {
                Some(until) => reached = until,
                None => return false,
            }
        }
        true
    }

    /// All columns of the missing transactions.
    async fn rows(&self, latest: &Table, files: &[Add], missing: &[Missing]) -> Result<RecordBatch, Error> {
        let keys: HashSet<u128> = missing.iter().map(|missing| missing.row.key).collect();
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

impl WholeWindow {
    fn holds(&self, time: i64) -> bool {
        (self.since..self.until).contains(&time)
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
