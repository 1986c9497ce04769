//! A naive model of the ledger: everything in memory, no index, every row looked at each time.

use std::collections::{BTreeMap, BTreeSet};

use super::super::moment;

/// Network and transaction.
pub(super) type Key = (&'static str, u8);

/// What a network reports of a transaction. Those with the highest ids are corrections of others.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reported {
    pub(super) id: u8,
    pub(super) day: i64,
    pub(super) commission: i64,
    pub(super) order: bool,
}

/// From this id on, transactions are corrections.
pub(super) const CORRECTIONS: u8 = 17;

/// What a request asks for: one of two windows of the transaction's date, or all that was modified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    January,
    Spring,
    Modified,
}

impl View {
    fn holds(self, day: i64) -> bool {
        (day >= 31) == (self == Self::Spring)
    }
}

/// A response, as raw keeps it.
#[derive(Clone, Debug)]
pub(super) struct Response {
    pub(super) run: String,
    pub(super) network: &'static str,
    /// When it was received; no two are received at once.
    pub(super) time: i64,
    pub(super) view: View,
    pub(super) rows: Vec<Reported>,
    /// Whether the slice was read to its end.
    pub(super) whole: bool,
    pub(super) rejected: bool,
}

/// Equal rows of a transaction in one response are one; different ones are rejects, and nothing of them counts.
pub(super) fn sound_rows(rows: &[Reported]) -> Vec<Reported> {
    let one: BTreeMap<u8, &Reported> = rows.iter().map(|row| (row.id, row)).collect();
    let sound = |row: &&Reported| rows.iter().all(|other| other.id != row.id || other == *row);
    one.into_values().filter(sound).cloned().collect()
}

/// Whether a response holds different rows of one transaction.
fn has_conflict(rows: &[Reported]) -> bool {
    rows.iter().any(|row| rows.iter().any(|other| other.id == row.id && other != row))
}

/// How the candidate of a replay maps a row: as it is, with another commission, or not at all.
pub(super) fn candidate(salt: u8, row: &Reported) -> Option<Reported> {
    match (u32::from(row.id) * 7 + u32::from(salt) * 5) % 6 {
        0 => None,
        1 | 2 => Some(Reported { commission: row.commission + i64::from(salt % 4), ..row.clone() }),
        _ => Some(row.clone()),
    }
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    reported: Reported,
    /// No longer there: vanished, or removed by a replay.
    gone: bool,
    change: &'static str,
    observed: i64,
    month: String,
    replay: Option<usize>,
}

/// The versions of each transaction, in their order.
#[derive(Clone, Default)]
pub(super) struct Model {
    versions: BTreeMap<Key, Vec<Version>>,
    /// Transactions that one read did without: when, and in which run.
    absent: BTreeMap<Key, (i64, String)>,
}

/// How much later than the first read without a transaction another one must be: more than from one answer to the next.
pub(super) const CONFIRM_SECS: i64 = 1_500;

/// What a ledger knows of the run whose responses come.
#[derive(Clone)]
pub(super) struct ModelRun {
    run: String,
    network: &'static str,
    pending: Vec<Response>,
    /// Whether the table held versions of the network when the run's first response came.
    known: Option<bool>,
    seen: BTreeSet<u8>,
    /// When the last of its responses was received.
    last: i64,
    /// Of each slice: when its first request was sent, whether a record of it was rejected, and whether it is empty.
    slices: BTreeMap<View, (i64, bool, bool)>,
}

impl ModelRun {
    pub(super) fn new(run: &str, network: &'static str) -> Self {
        let (run, seen, slices) = (run.to_owned(), BTreeSet::new(), BTreeMap::new());
        Self { run, network, pending: Vec::new(), known: None, seen, last: i64::MIN, slices }
    }
}

impl Model {
    pub(super) fn add(&self, run: &mut ModelRun, response: &Response) {
        let holds = self.versions.keys().any(|(network, _)| *network == run.network);
        run.known.get_or_insert(holds);
        run.seen.extend(response.rows.iter().map(|row| row.id));
        let slice = run.slices.entry(response.view).or_insert((response.time - 1, false, true));
        run.last = run.last.max(response.time);
        slice.0 = slice.0.min(response.time - 1);
        slice.2 &= response.rows.is_empty();
        slice.1 |= response.rejected || has_conflict(&response.rows);
        run.pending.push(response.clone());
    }

    pub(super) fn flush(&mut self, run: &mut ModelRun) {
        run.pending.sort_by_key(|response| response.time);
        for response in std::mem::take(&mut run.pending) {
            for row in sound_rows(&response.rows) {
                self.observe((run.network, row.id), &row, response.time);
            }
        }
    }

    fn observe(&mut self, key: Key, row: &Reported, observed: i64) {
        let history = self.versions.entry(key).or_default();
        let Some(known) = history.last() else {
            let change = if row.id >= CORRECTIONS { "correction" } else { "first-seen" };
            let month = month_of(row.day);
            history.push(Version { reported: row.clone(), gone: false, change, observed, month, replay: None });
            return;
        };
        let before = &known.reported;
        let same_core = !known.gone && (before.day, before.commission) == (row.day, row.commission);
        if observed < known.observed || same_core && before.order == row.order {
            return;
        }
        let change = match (observed == known.observed, known.gone) {
            (true, _) => "mapping-change",
            (false, true) => "reappeared",
            (false, false) if same_core && row.order => "late-attribution",
            (false, false) => "network-change",
        };
        let month = known.month.clone();
        history.push(Version { reported: row.clone(), gone: false, change, observed, month, replay: None });
    }

    /// Ends a run that read these windows whole: what they should hold and the run didn't see is missing, and has
    /// vanished if another run missed it before, long enough ago, and none saw it since.
    pub(super) fn end(&mut self, run: &mut ModelRun, whole: &BTreeSet<View>, read_at: i64) {
        self.flush(run);
        if run.known != Some(true) {
            return;
        }
        let is_seen = |(network, id): &Key, at: i64| *network == run.network && run.seen.contains(id) && at < run.last;
        self.absent.retain(|key, (at, _)| !is_seen(key, *at));
        self.drop_tombstones(run, whole);
        for view in whole.iter().filter(|view| **view != View::Modified) {
            let Some((sent, false, false)) = run.slices.get(view).copied() else { continue };
            for (key, history) in &mut self.versions {
                let Some(known) = history.last().filter(|_| key.0 == run.network) else { continue };
                let missing = view.holds(known.reported.day) && known.observed < sent && !run.seen.contains(&key.1);
                if !missing || known.gone {
                    continue;
                }
                let first = self.absent.get(key).filter(|(at, _)| known.observed < *at);
                match first {
                    Some((at, of)) if *of != run.run && read_at - at >= CONFIRM_SECS => {
                        let (gone, change, observed) = (true, "vanished", read_at);
                        history.push(Version { gone, change, observed, replay: None, ..known.clone() });
                        self.absent.remove(key);
                    }
                    Some(_) => {}
                    None => _ = self.absent.insert(*key, (read_at, run.run.clone())),
                }
            }
        }
    }

    /// What these windows hold and is gone already waits for no further read, whatever the answers say: a replay that
    /// removed it didn't look at what is absent. Of a run that saw nothing, no window counts.
    fn drop_tombstones(&mut self, run: &ModelRun, whole: &BTreeSet<View>) {
        let is_sound = |view: &View| matches!(run.slices.get(view), Some((_, false, _))) && !run.seen.is_empty();
        for view in whole.iter().filter(|view| **view != View::Modified && is_sound(view)) {
            let gone = |version: &Version| version.gone && view.holds(version.reported.day);
            let versions = &self.versions;
            let is_gone = |key: &Key| versions.get(key).and_then(|history| history.last()).is_some_and(gone);
            self.absent.retain(|key, _| key.0 != run.network || !is_gone(key));
        }
    }

    /// Takes over what another one has as absent.
    pub(super) fn take_absent_of(&mut self, other: &Self) {
        self.absent.clone_from(&other.absent);
    }

    /// What `meta.absent` should hold: one text for each row, sorted.
    pub(super) fn absent(&self) -> Vec<String> {
        let rows = self.absent.iter();
        let mut rows: Vec<String> =
            rows.map(|((network, _), (at, run))| format!("{network} uk transactions {} {run}", time_of(*at))).collect();
        rows.sort();
        rows
    }

    /// Applies a replay of all responses of a network by a candidate, and gives how many versions it wrote.
    pub(super) fn replay(&mut self, network: &'static str, responses: &[Response], salt: u8, number: usize) -> usize {
        struct SavedState {
            observed: i64,
            current: Option<Reported>,
            judged: bool,
            there: bool,
        }
        let mut kept: BTreeMap<u8, SavedState> = BTreeMap::new();
        for ((_, id), history) in self.versions.iter().filter(|((of, _), _)| *of == network) {
            let Some(last) = history.last() else { continue };
            let current = (!last.gone).then(|| last.reported.clone());
            kept.insert(*id, SavedState { observed: last.observed, current, judged: false, there: true });
        }
        let mut responses: Vec<&Response> = responses.iter().filter(|response| response.network == network).collect();
        responses.sort_by_key(|response| response.time);
        let times: BTreeSet<i64> = responses.iter().map(|response| response.time).collect();
        let mut written = 0;
        let mut write = |id: u8, reported: Reported, gone: bool, observed: i64| {
            written += 1;
            let history = self.versions.entry((network, id)).or_default();
            let month = history.last().map_or_else(|| month_of(reported.day), |last| last.month.clone());
            let change = "mapping-change";
            history.push(Version { reported, gone, change, observed, month, replay: Some(number) });
        };
        for response in responses {
            let mapped: Vec<Reported> = response.rows.iter().filter_map(|row| candidate(salt, row)).collect();
            for row in sound_rows(&mapped) {
                let time = response.time;
                let absent = SavedState { observed: time, current: None, judged: true, there: false };
                let known = kept.entry(row.id).or_insert(absent);
                if time < known.observed {
                    continue;
                }
                known.judged = true;
                if known.current.as_ref() != Some(&row) {
                    known.current = Some(row.clone());
                    write(row.id, row, false, time);
                }
            }
        }
        for (id, known) in kept {
            if let (false, true, Some(before)) = (known.judged, known.there, known.current)
                && times.contains(&known.observed)
            {
                write(id, before, true, known.observed);
            }
        }
        written
    }

    /// Whether versions follow those of a replay.
    pub(super) fn is_built_upon(&self, replay: usize) -> bool {
        let follows = |history: &Vec<Version>| {
            let own = |version: &Version| version.replay == Some(replay);
            history.iter().any(own) && !history.last().is_some_and(own)
        };
        self.versions.values().any(follows)
    }

    /// Takes the versions of a replay back, and gives how many there were.
    pub(super) fn roll_back(&mut self, replay: usize) -> usize {
        let count = |model: &Self| model.versions.values().map(Vec::len).sum::<usize>();
        let before = count(self);
        self.versions.values_mut().for_each(|history| history.retain(|version| version.replay != Some(replay)));
        self.versions.retain(|_, history| !history.is_empty());
        before - count(self)
    }

    /// What `unified.transaction_versions` should hold: one text for each row, sorted.
    pub(super) fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for ((network, id), history) in &self.versions {
            for (version, row) in (1..).zip(history) {
                let Version { reported, gone, change, observed, month, .. } = row;
                let effective = if *gone { 0 } else { reported.commission };
                let order = if reported.order { "o1" } else { "-" };
                rows.push(format!(
                    "{network} {id} {version} {} 0.00000{} 0.00000{effective} {order} {change} {} {month}",
                    time_of(reported.day * 86_400),
                    reported.commission,
                    time_of(*observed),
                ));
            }
        }
        rows.sort();
        rows
    }

    /// Transactions and the sum of their effective commissions.
    pub(super) fn sums(&self) -> (usize, i64) {
        let latest = self.versions.values().filter_map(|history| history.last());
        (self.versions.len(), latest.filter(|row| !row.gone).map(|row| row.reported.commission).sum())
    }
}

fn month_of(day: i64) -> String {
    moment(day * 86_400).format("%Y-%m").to_string()
}

fn time_of(secs: i64) -> String {
    moment(secs).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
