//! A lake, the model beside it, and two ledgers that write it in turns.

mod dying;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::StringArray;
use chrono::{TimeDelta, Utc};
use sluice_model::{Axis, Mapped, RawObject};

use self::dying::Process;
use super::super::{Row, connector, layout, mapped, moment, new_lake, reject, sale, values, with_column};
use super::claims;
use super::model::{CONFIRM_SECS, CORRECTIONS, Model, ModelRun, Reported, Response, View, candidate};
use crate::{CommitterOptions, ConnectorRef, Error, Lake, Ledger, Upkeep};

/// Opens a ledger. The only place that does: the sizes of its key index belong here.
pub(super) fn open_ledger(lake: &Lake) -> Ledger {
    // A handful of keys: what a service meets after millions, these histories meet all the time.
    lake.ledger_with(CommitterOptions { index_keys: 6, all_keys: 9, ..CommitterOptions::default() })
}

/// A run under way.
struct Lane {
    run: String,
    network: &'static str,
    ledger: Ledger,
    /// What has opened the ledger.
    process: Process,
    /// Its responses, by their places in raw.
    responses: Vec<usize>,
    model: ModelRun,
}

struct AppliedReplay {
    run: String,
    network: &'static str,
    written: usize,
    /// Whether files may have been merged or replaced since.
    merged: bool,
}

pub(super) struct World {
    _folder: tempfile::TempDir,
    pub(super) lake: Lake,
    lanes: [Option<Lane>; 2],
    /// Ledgers whose last run has ended, for the next one.
    idle: [Option<(Ledger, Process)>; 2],
    raw: Vec<Response>,
    runs: usize,
    replays: Vec<AppliedReplay>,
    model: Model,
    /// Whether the latest state has followed all versions.
    caught_up: bool,
}

impl World {
    pub(super) async fn new() -> Self {
        let (folder, lake) = new_lake().await;
        Self {
            _folder: folder,
            lake,
            lanes: [None, None],
            idle: [None, None],
            raw: Vec::new(),
            runs: 0,
            replays: Vec::new(),
            model: Model::default(),
            caught_up: true,
        }
    }

    /// A moment that is later than all before, or one among them; no two are the same. Between two moments are some
    /// at which requests are sent and windows end.
    fn next_time(&self, order: Option<u16>) -> i64 {
        let newest = self.raw.iter().map(|response| response.time).max().unwrap_or(10);
        let mut time = match order {
            None => newest + 1_000,
            Some(order) => 10 + 2 * (i64::from(order) % ((newest - 10) / 2 + 1)),
        };
        while self.raw.iter().any(|response| response.time == time) {
            time += 2;
        }
        time
    }

    /// A response comes to a lane, whose run begins with it if none is under way.
    pub(super) async fn answer(&mut self, at: usize, order: Option<u16>, retried: bool, mut response: Response) {
        response.time = self.next_time(order);
        if self.lanes[at].is_none() {
            // Ids rise with the time at which runs begin.
            let run = format!("run-{:03}", self.runs);
            self.runs += 1;
            let (ledger, process) = self.idle[at].take().unwrap_or_else(|| Process::new(&self.lake).ledger());
            let (network, responses) = (response.network, Vec::new());
            let model = ModelRun::new(&run, network);
            self.lanes[at] = Some(Lane { run, network, ledger, process, responses, model });
        }
        let lane = self.lanes[at].as_mut().unwrap();
        // A run is of one network.
        (response.run, response.network) = (lane.run.clone(), lane.network);
        for _ in 0..1 + usize::from(retried) {
            add(&mut lane.ledger, &response, &connector_of(response.network)).await;
            self.model.add(&mut lane.model, &response);
        }
        lane.responses.push(self.raw.len());
        self.raw.push(response);
    }

    pub(super) async fn flush(&mut self, at: usize) {
        let Some(lane) = &mut self.lanes[at] else { return };
        lane.ledger.flush().await.unwrap();
        self.model.flush(&mut lane.model);
        self.caught_up = false;
    }

    /// What both ledgers have gathered is committed at once: one of them is first.
    pub(super) async fn flush_both(&mut self) {
        let [Some(one), Some(two)] = &mut self.lanes else { return };
        let (first, second) = tokio::join!(one.ledger.flush(), two.ledger.flush());
        first.and(second).unwrap();
        let mut other = self.model.clone();
        let (mut first, mut second) = (one.model.clone(), two.model.clone());
        self.model.flush(&mut one.model);
        self.model.flush(&mut two.model);
        other.flush(&mut second);
        other.flush(&mut first);
        self.caught_up = false;
        if self.version_rows().await == other.rows() {
            self.model = other;
        }
    }

    /// A lane's run ends. Its ledger may serve the next run.
    pub(super) async fn end(&mut self, at: usize, keep: bool) {
        let Some(mut lane) = self.lanes[at].take() else { return };
        let responses: Vec<Response> = lane.responses.iter().map(|place| self.raw[*place].clone()).collect();
        let (whole, read_at) = whole_windows(&mut lane.ledger, &responses);
        lane.ledger.commit().await.unwrap();
        self.model.end(&mut lane.model, &whole, read_at);
        self.caught_up = true;
        self.idle[at] = keep.then_some((lane.ledger, lane.process));
    }

    /// A lane's ledger is lost with what it hadn't committed, and another one gets all of the run's responses again.
    pub(super) async fn crash(&mut self, at: usize) {
        self.idle[at] = None;
        let Some(lane) = &mut self.lanes[at] else { return };
        (lane.ledger, lane.process) = Process::new(&self.lake).ledger();
        lane.model = ModelRun::new(&lane.run, lane.network);
        for place in &lane.responses {
            let response = &self.raw[*place];
            add(&mut lane.ledger, response, &connector_of(response.network)).await;
            self.model.add(&mut lane.model, response);
        }
    }

    /// Files are merged, the log is summed up, and what is no longer named is deleted.
    pub(super) async fn maintain(&mut self) {
        let upkeep = Upkeep { min_files: 2, checkpoint_commits: 3, keep: TimeDelta::zero(), ..Upkeep::default() };
        for table in self.lake.tables().await.unwrap() {
            self.lake.maintain(&table, &upkeep, Utc::now() + TimeDelta::hours(1)).await.unwrap();
        }
        self.replays.iter_mut().for_each(|replay| replay.merged = true);
    }

    /// A candidate's replay of all of a network's responses is applied.
    pub(super) async fn replay(&mut self, network: &'static str, salt: u8) {
        self.apply(&self.lake, network, salt).await.unwrap();
        let number = self.replays.len();
        let written = self.model.replay(network, &self.raw, salt, number);
        self.replays.push(AppliedReplay { run: replay_id(number), network, written, merged: false });
        self.caught_up = true;
    }

    /// Applies the next replay by this handle of the lake.
    async fn apply(&self, lake: &Lake, network: &'static str, salt: u8) -> Result<(), Error> {
        let digest = sluice_model::Digest::of(&[salt]);
        let by = ConnectorRef { version: "2.0.0".to_owned(), digest, ..connector_of(network) };
        let run = replay_id(self.replays.len());
        let mut replay = lake.replay(by, Some(&run), None).await?.in_passes(1 + u32::from(salt % 2));
        let mut responses: Vec<&Response> = self.raw.iter().filter(|response| response.network == network).collect();
        responses.sort_by_key(|response| response.time);
        for pass in 0..replay.passes() {
            replay.begin(pass).await?;
            for response in &responses {
                let rows: Vec<Option<Reported>> = response.rows.iter().map(|row| candidate(salt, row)).collect();
                let (origin, mapped) = mapped_by(response, &rows);
                replay.add(origin, &layout(&["id"]), mapped).await?;
            }
            replay.end().await?;
        }
        replay.finish().await?.commit().await
    }

    /// The last replay is taken back, if nothing is built upon it.
    pub(super) async fn roll_back(&mut self) {
        let Some(number) = self.replays.iter().rposition(|replay| replay.written > 0) else { return };
        let AppliedReplay { run, network, merged, .. } = &self.replays[number];
        let done = self.lake.roll_back_replay(network, run, None).await;
        let followed = self.model.is_built_upon(number);
        match done {
            Ok(_) => {
                assert!(!followed, "{run} was rolled back though versions follow those that it wrote");
                self.model.roll_back(number);
                self.replays[number].written = 0;
                self.caught_up = true;
            }
            Err(Error::BuiltUpon { .. }) if followed || *merged => self.replays[number].written = 0,
            Err(error) => panic!("{run} can't be rolled back: {error}"),
        }
    }

    /// All tables are made anew from raw, run by run, beside the ledgers that are open.
    pub(super) async fn rebuild(&mut self) {
        let rebuild = self.lake.rebuild("1", &NETWORKS.map(str::to_owned), None).await.unwrap();
        let mut ledger = open_ledger(rebuild.lake());
        let mut model = Model::default();
        for run in 0..self.runs {
            let run = format!("run-{run:03}");
            let mut responses: Vec<Response> =
                self.raw.iter().filter(|response| response.run == run).cloned().collect();
            responses.sort_by_key(|response| response.time);
            let Some(first) = responses.first() else { continue };
            let mut model_run = ModelRun::new(&run, first.network);
            for response in &responses {
                add(&mut ledger, response, &connector_of(response.network)).await;
                model.add(&mut model_run, response);
            }
            let is_open = self.lanes.iter().flatten().any(|lane| lane.run == run);
            let (whole, read_at) = if is_open { (BTreeSet::new(), 0) } else { whole_windows(&mut ledger, &responses) };
            ledger.commit().await.unwrap();
            model.end(&mut model_run, &whole, read_at);
        }
        rebuild.put_in_place().await.unwrap();
        self.lake.remove_new_tables_of("1").await.unwrap();
        self.model = model;
        self.replays.iter_mut().for_each(|replay| replay.written = 0);
        self.caught_up = true;
    }

    /// Ends what is open, one after the other.
    pub(super) async fn end_all(&mut self) {
        for lane in 0..self.lanes.len() {
            self.end(lane, false).await;
        }
        open_ledger(&self.lake).commit().await.unwrap();
        self.caught_up = true;
    }

    /// What is wrong with the tables, as one text; empty if nothing is.
    pub(super) async fn faults(&self) -> String {
        let versions = claims::unified(&self.lake, "transaction_versions").await;
        let mut broken = claims::of_versions(&versions);
        if self.caught_up {
            let latest = claims::unified(&self.lake, "transactions").await;
            broken.extend(claims::of_latest(&latest, &versions));
            let (found, expected) = (claims::sums(&latest), self.model.sums());
            if found != expected {
                broken.push(format!("the latest state has {found:?} transactions and millionths, not {expected:?}"));
            }
        }
        let (absent, expected) = (self.absent().await, self.model.absent());
        if absent != expected {
            broken.push(format!("absent are {absent:?}, not {expected:?}"));
        }
        let (found, expected) = (texts(&versions), self.model.rows());
        broken.extend(expected.iter().filter(|row| !found.contains(row)).map(|row| format!("- {row}")));
        broken.extend(found.iter().filter(|row| !expected.contains(row)).map(|row| format!("+ {row}")));
        broken.join("\n")
    }

    /// The versions as the model's rows are written, sorted.
    async fn version_rows(&self) -> Vec<String> {
        texts(&claims::unified(&self.lake, "transaction_versions").await)
    }

    /// The rows of `meta.absent` as the model's are written, sorted.
    pub(super) async fn absent(&self) -> Vec<String> {
        let columns = ["network", "account", "stream", "first_absent_at", "run_id"];
        values(&self.lake, "meta", "absent", &columns).await
    }

    /// What is wrong with the records, as one text.
    pub(super) async fn native_faults(&self) -> String {
        claims::of_native(&self.lake, &NETWORKS).await.join("\n")
    }
}

/// The run of a replay.
fn replay_id(number: usize) -> String {
    format!("replay-{number:03}")
}

/// Both networks.
pub(super) const NETWORKS: [&str; 2] = ["awin-test", "cj-test"];

/// Rows as the model writes them, sorted.
fn texts(rows: &[Row]) -> Vec<String> {
    let columns = claims::COLUMNS.into_iter().filter(|name| !["transaction_key", "run_id"].contains(name));
    let columns: Vec<&str> = columns.collect();
    let text = |row: &Row| {
        let cells: Vec<&str> = columns.iter().map(|name| row.get(*name).map_or("-", String::as_str)).collect();
        cells.join(" ")
    };
    let mut texts: Vec<String> = rows.iter().map(text).collect();
    texts.sort();
    texts
}

fn connector_of(network: &str) -> ConnectorRef {
    ConnectorRef { name: network.to_owned(), ..connector() }
}

async fn add(ledger: &mut Ledger, response: &Response, connector: &ConnectorRef) {
    let rows: Vec<Option<Reported>> = response.rows.iter().cloned().map(Some).collect();
    let (origin, mapped) = mapped_by(response, &rows);
    ledger.add(origin, &layout(&["id"]), connector, mapped).await.unwrap();
}

/// Tells a ledger which windows the run read whole; gives them, and when.
fn whole_windows(ledger: &mut Ledger, responses: &[Response]) -> (BTreeSet<View>, i64) {
    let read_at = responses.iter().map(|response| response.time + 5).max().unwrap_or_default();
    let mut whole = BTreeSet::new();
    for response in responses.iter().filter(|response| response.whole) {
        if whole.insert(response.view) {
            let confirm_after = TimeDelta::seconds(CONFIRM_SECS);
            ledger.window_read(&origin(response).slice, moment(read_at), confirm_after);
        }
    }
    (whole, read_at)
}

fn origin(response: &Response) -> RawObject {
    let time = response.time;
    let mut origin = (*super::super::response(&response.run, &format!("r{time}"), time)).clone();
    origin.slice.network = response.network.to_owned();
    let (axis, window) = match response.view {
        View::January => (Axis::Transaction, "2026-01-01T00:00:00Z/2026-02-01T00:00:00Z"),
        View::Spring => (Axis::Transaction, "2026-02-01T00:00:00Z/2026-04-01T00:00:00Z"),
        View::Modified => (Axis::Modified, "2026-01-01T00:00:00Z/2026-04-01T00:00:00Z"),
    };
    (origin.slice.axis, origin.slice.window) = (axis, window.parse().unwrap());
    origin
}

/// A response as a connector maps it that gives these of its transactions. The records are what they are.
fn mapped_by(response: &Response, rows: &[Option<Reported>]) -> (Arc<RawObject>, Mapped) {
    let sales = |rows: &[&Reported]| -> Vec<super::super::Sale> {
        rows.iter().map(|row| sale(&row.id.to_string(), row.day, row.commission)).collect()
    };
    let all: Vec<&Reported> = response.rows.iter().collect();
    let given: Vec<&Reported> = rows.iter().flatten().collect();
    let orders: StringArray = given.iter().map(|row| row.order.then_some("o1")).collect();
    let kinds: StringArray =
        given.iter().map(|row| Some(if row.id >= CORRECTIONS { "adjustment" } else { "sale" })).collect();
    let transactions = mapped(&sales(&given)).transactions.unwrap();
    let transactions = with_column(&transactions, "order_id", Arc::new(orders));
    let transactions = with_column(&transactions, "kind", Arc::new(kinds));
    let rejects = if response.rejected { vec![reject(99, "no id")] } else { Vec::new() };
    let mapped = Mapped { transactions: Some(transactions), rejects, ..mapped(&sales(&all)) };
    (Arc::new(origin(response)), mapped)
}
