//! `meta.absent`: transactions that one read of a window which should have held them did without.
//!
//! The next read decides: a transaction that a later run sees is taken out, one that a later run misses too, and late
//! enough, has vanished. An entry counts only if its transaction has no version that was observed later, so one that a
//! crash left behind says nothing. A run confirms nothing that it found missing itself, so one that is resumed doesn't
//! count as two. A transaction that is gone already, as one that a replay removed is, waits for nothing: the next run
//! that reads a window of its date whole takes it out.
//!
//! The rows of a network stand in files of their own, which are replaced when something changes: the table is never
//! larger than what is absent, and costs a look at its log where nothing is.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use deltalake::kernel::Add;

use super::windows::Missing;
use super::{AbsenceFinding, StreamRead};
use crate::error::Error;
use crate::index::{KeyMap, column, keys_of, to_hex, unreadable, wrong};
use crate::lake::Lake;
use crate::latest::path_of;
use crate::meta::ABSENT;
use crate::scan::read_columns;
use crate::table::{Fence, Proposal, Table, TableChange, TableSpec, assemble, commit_with, remove};

/// The columns that stand in its files.
const COLUMNS: [&str; 5] = ["transaction_key", "account", "stream", "first_absent_at", "run_id"];

/// A transaction that was missing once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Absence {
    account: String,
    stream: String,
    /// When the window was read that should have held it.
    first_at: i64,
    /// The run that read it.
    run_id: String,
}

/// What was missing once, of some networks.
pub(crate) struct Absences {
    table: Table,
    by_network: HashMap<String, KeyMap<Absence>>,
}

/// What is known of a stream's transactions after a run.
pub(crate) struct StreamAbsences<'a> {
    pub(crate) stream: &'a StreamRead,
    /// Missing, and not for long enough, or for the first time.
    pub(crate) open: Vec<Missing>,
    /// Those of which it is known that they have vanished, sorted.
    pub(crate) gone: Vec<u128>,
}

impl Absences {
    /// What was missing once, of the networks of these streams.
    pub(crate) async fn of(lake: &Lake, streams: &[StreamRead]) -> Result<Self, Error> {
        let table = lake.system_table(ABSENT.name).await?;
        let mut by_network = HashMap::new();
        for network in networks(streams.iter()) {
            by_network.insert(network.to_owned(), read(&table, network).await?);
        }
        Ok(Self { table, by_network })
    }

    /// Whether a transaction was missing once.
    pub(super) fn has(&self, network: &str, key: u128) -> bool {
        self.by_network.get(network).is_some_and(|absences| absences.contains_key(&key))
    }

    /// Splits what a run misses into what has vanished, and what waits for another read.
    pub(crate) fn split(&self, stream: &StreamRead, missing: &[Missing]) -> (Vec<Missing>, Vec<Missing>) {
        let confirms = |missing: &Missing| {
            let first = self.by_network.get(&stream.network).and_then(|absences| absences.get(&missing.row.key));
            first.is_some_and(|first| {
                let later = missing.window.read_at - first.first_at;
                first.counts_for(missing) && first.run_id != stream.run_id && later >= missing.window.confirm_after
            })
        };
        missing.iter().copied().partition(confirms)
    }

    /// Commits what a run found: what was seen again or has vanished is absent no more, what is missing for the first
    /// time is.
    ///
    /// # Errors
    /// [`Error::Fenced`] if one of the leases was taken over: then nothing is committed.
    pub(crate) async fn note(&mut self, judged: &[StreamAbsences<'_>], fences: &[Fence]) -> Result<(), Error> {
        let mut change = Note { judged, fences };
        commit_with(&mut self.table, &mut change).await.map(|_| ())
    }
}

impl<'a> StreamAbsences<'a> {
    /// What is known after a run of which `gone` have vanished now.
    pub(crate) fn new(stream: &'a StreamRead, finding: &AbsenceFinding, gone: &[Missing], open: Vec<Missing>) -> Self {
        let mut gone: Vec<u128> = gone.iter().map(|missing| missing.row.key).chain(finding.settled.clone()).collect();
        gone.sort_unstable();
        Self { stream, open, gone }
    }

    /// Brings a network's absences up to date, and returns whether there was something to do.
    fn apply(&self, absences: &mut KeyMap<Absence>) -> bool {
        let StreamRead { account, stream, seen, last_at, run_id, .. } = self.stream;
        let before = absences.len();
        absences.retain(|key, absence| {
            let is_seen = || absence.first_at < *last_at && seen.holds(*key);
            let is_own = absence.account == *account && absence.stream == *stream;
            !is_own || !(self.gone.binary_search(key).is_ok() || is_seen())
        });
        let mut changed = absences.len() < before;
        for missing in &self.open {
            if absences.get(&missing.row.key).is_none_or(|first| !first.counts_for(missing)) {
                let (account, stream, run_id) = (account.clone(), stream.clone(), run_id.clone());
                let absence = Absence { account, stream, first_at: missing.window.read_at, run_id };
                absences.insert(missing.row.key, absence);
                changed = true;
            }
        }
        changed
    }
}

impl Absence {
    /// Whether nothing was observed of the transaction since.
    fn counts_for(&self, missing: &Missing) -> bool {
        missing.row.observed_at < self.first_at
    }
}

/// A commit to `meta.absent`.
struct Note<'a> {
    judged: &'a [StreamAbsences<'a>],
    fences: &'a [Fence],
}

impl TableChange for Note<'_> {
    async fn propose(&mut self, table: &mut Table, earlier: Option<Proposal>) -> Result<Option<Proposal>, Error> {
        if let Some(earlier) = earlier {
            table.discard_files(&earlier.adds).await;
        }
        if self.judged.iter().any(|judged| !judged.open.is_empty()) {
            // Before anything is read: another writer may make the table meanwhile, and fill it.
            table.create_if_missing(&table_spec()).await?;
        }
        let mut proposal = Proposal { fences: self.fences.to_vec(), ..Proposal::default() };
        for network in networks(self.judged.iter().map(|judged| judged.stream)) {
            if let Err(error) = self.replace(table, network, &mut proposal).await {
                table.discard_files(&proposal.adds).await;
                return Err(error);
            }
        }
        Ok((!proposal.removes.is_empty() || !proposal.adds.is_empty()).then_some(proposal))
    }
}

impl Note<'_> {
    /// Puts files of what is absent of a network now in the place of those there are, if that is something else.
    async fn replace(&self, table: &Table, network: &str, proposal: &mut Proposal) -> Result<(), Error> {
        let mut absences = read(table, network).await?;
        let mut changed = false;
        for judged in self.judged.iter().filter(|judged| judged.stream.network == network) {
            changed |= judged.apply(&mut absences);
        }
        if !changed {
            return Ok(());
        }
        proposal.removes.extend(files(table, network).iter().map(remove));
        if !absences.is_empty() {
            proposal.adds.extend(write(table, network, &absences).await?);
        }
        tracing::info!(network, absent = absences.len(), "transactions are missing that a further read decides about");
        Ok(())
    }
}

fn table_spec() -> TableSpec {
    TableSpec { fields: ABSENT.fields().collect(), partitions: &["network"], indexed: vec![] }
}

/// The networks of streams, each once.
fn networks<'a>(streams: impl Iterator<Item = &'a StreamRead>) -> BTreeSet<&'a str> {
    streams.map(|stream| stream.network.as_str()).collect()
}

fn files(table: &Table, network: &str) -> Vec<Add> {
    let is_own = |add: &Add| add.partition_values.get("network").and_then(Option::as_deref) == Some(network);
    table.adds().into_iter().filter(is_own).collect()
}

async fn read(table: &Table, network: &str) -> Result<KeyMap<Absence>, Error> {
    let mut absences = KeyMap::default();
    for add in files(table, network) {
        let path = path_of(&add);
        let failed = |source| unreadable(table, &path, source);
        for rows in read_columns(table.store(), &path, &COLUMNS).await.map_err(failed)? {
            let [accounts, streams, runs] = ["account", "stream", "run_id"].map(|name| {
                column(table, &rows, name)?.as_string_opt::<i32>().ok_or_else(|| wrong(table, name, "text"))
            });
            let (accounts, streams, runs) = (accounts?, streams?, runs?);
            let times = column(table, &rows, "first_absent_at")?.as_primitive_opt::<TimestampMicrosecondType>();
            let times = times.ok_or_else(|| wrong(table, "first_absent_at", "a timestamp"))?;
            for (row, key) in keys_of(table, &rows, "transaction_key")?.into_iter().enumerate() {
                let [account, stream, run_id] = [accounts, streams, runs].map(|texts| texts.value(row).to_owned());
                absences.insert(key, Absence { account, stream, first_at: times.value(row), run_id });
            }
        }
    }
    Ok(absences)
}

async fn write(table: &Table, network: &str, absences: &KeyMap<Absence>) -> Result<Vec<Add>, Error> {
    let mut rows: Vec<(&u128, &Absence)> = absences.iter().collect();
    rows.sort_unstable_by_key(|(key, _)| **key);
    let text = |of: &dyn Fn(&(&u128, &Absence)) -> String| {
        Arc::new(rows.iter().map(|row| Some(of(row))).collect::<StringArray>())
    };
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|(_, absence)| absence.first_at));
    let columns: Vec<arrow::array::ArrayRef> = vec![
        text(&|(key, _)| String::from_utf8_lossy(&to_hex(**key)).into_owned()),
        text(&|_| network.to_owned()),
        text(&|(_, absence)| absence.account.clone()),
        text(&|(_, absence)| absence.stream.clone()),
        Arc::new(times.with_timezone("UTC")),
        text(&|(_, absence)| absence.run_id.clone()),
    ];
    table.write_files(&assemble(table.name(), table_spec().fields, columns)?, None).await
}
