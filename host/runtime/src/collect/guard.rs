//! What a run compares its answers with, and what it found: profiles, earlier doubts, doubts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use sluice_lake::{
    DoubtRow, DoubtState, Fence, KnownFacts, KnownTransaction, KnownTransactions, Lake, Prepared, WindowStates,
};
use sluice_model::{Axis, BodyFindings, ErrorKind, Layout, Slice, Window};
use sluice_state::{State, Verb};

use super::Collector;
use super::contents::Contents;
use super::earlier_doubts::{Clean, is_like, is_of, is_read_again, overlap, refilled, replaces};
use super::listings::Listings;
use super::run_warnings::{RunWarnings, Sentences, WarningKind};
use super::suspect::Transfer;
use super::whole::view;
use super::withheld::Withheld;
use crate::app::{App, Network};
use crate::doubt::{
    Doubt, DoubtKind, DoubtSettings, Observation, Profile, WindowsBy, judge_ending, judge_few, judge_known,
    judge_response, suspicion, unknown_input, unknown_inputs,
};
use crate::failure::{Failure, SliceError};
use crate::withheld::doubt_id;
use crate::{profiles, text};

/// How long after the first doubt a read that agrees with it may accept it.
const AGREES_AFTER: TimeDelta = TimeDelta::hours(1);

/// Doubts of one run, beyond which no further slice is read: each is kept for good, and compared with those of later runs.
const MOST_DOUBTS: usize = 1_000;

/// What a run compares its answers with.
pub struct Guard {
    pub(super) rules: DoubtSettings,
    pub(super) network: String,
    run_id: String,
    state: Arc<State>,
    /// Doubts of the network when the run began that are open, or were accepted.
    pub(super) earlier: Vec<DoubtRow>,
    /// What the tables held of windows when they were asked for.
    pub(super) windows: tokio::sync::Mutex<HashMap<(Axis, Window), Arc<WindowStates>>>,
    /// The tables' transactions of the network when one was first looked for.
    known: tokio::sync::OnceCell<KnownTransactions>,
    /// The same of other facts.
    pub(super) known_facts: tokio::sync::OnceCell<KnownFacts>,
    profiles: tokio::sync::Mutex<HashMap<(String, String), Arc<Profile>>>,
    /// What slices are like that were judged alone, by account and stream.
    pub(super) alone: Mutex<HashMap<(String, String), Observation>>,
    found: Mutex<Findings>,
}

/// What a run found.
#[derive(Default)]
pub(super) struct Findings {
    doubts: Vec<DoubtRow>,
    /// Earlier doubts with which a read agreed.
    agreed: Vec<DoubtRow>,
    clean: Vec<Clean>,
    /// What people should know of answers that aren't doubted.
    pub(super) warnings: Sentences,
    /// Profiles with what was learned, by account and stream.
    pub(super) learned: HashMap<(String, String), Profile>,
    /// Known transactions change in ways that a run reports.
    pub(super) is_moved: bool,
}

impl Guard {
    /// The guard of a run. If a network has no profiles, because it is new or the state store is, they are made of what
    /// raw holds; `verb`: a run that only collects judges by the profiles that there are.
    ///
    /// # Errors
    /// The state store's failure, or the lake's.
    pub async fn open(app: &Arc<App>, network: &Network, run_id: &str, verb: Verb) -> Result<Self, Failure> {
        let id = network.manifest().network.clone();
        if verb == Verb::Run && !app.state.has_profiles(&id).await? {
            profiles::seed(app, network, run_id).await?;
        }
        let mut earlier = app.lake.doubts(Some(&id)).await?;
        // The others say nothing of what is read now, and are never fewer.
        earlier.retain(|row| matches!(row.state, DoubtState::Open | DoubtState::Accepted));
        Ok(Self {
            rules: network.settings.content.doubt.clone(),
            network: id,
            run_id: run_id.to_owned(),
            state: app.state.clone(),
            earlier,
            windows: tokio::sync::Mutex::default(),
            known: tokio::sync::OnceCell::new(),
            known_facts: tokio::sync::OnceCell::new(),
            profiles: tokio::sync::Mutex::default(),
            alone: Mutex::default(),
            found: Mutex::default(),
        })
    }

    pub(super) fn found(&self) -> MutexGuard<'_, Findings> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if so much of the run is doubtful that no further slice is read.
    pub(super) fn check_number(&self) -> Result<(), SliceError> {
        if self.found().doubts.len() < MOST_DOUBTS {
            return Ok(());
        }
        let reason =
            format!("{MOST_DOUBTS} slices of this run are doubtful, so no further one is read: see `sluice doubts`");
        Err(SliceError::new(ErrorKind::Format, reason))
    }

    /// What was usual of a slice's stream and account when the run began.
    pub(super) async fn profile(&self, slice: &Slice) -> Result<Arc<Profile>, SliceError> {
        let mut profiles = self.profiles.lock().await;
        let of = (slice.account.clone(), slice.stream.clone());
        if let Some(profile) = profiles.get(&of) {
            return Ok(profile.clone());
        }
        let text = self.state.profile(&self.network, &slice.account, &slice.stream).await.map_err(Failure::from)?;
        let profile = Arc::new(text.map(|text| Profile::from_json(&text)).unwrap_or_default());
        profiles.insert(of, profile.clone());
        Ok(profile)
    }

    /// Takes over what another run learned before, instead of what was kept.
    pub(super) async fn know(&self, learned: &HashMap<(String, String), Profile>) {
        let mut profiles = self.profiles.lock().await;
        profiles.extend(learned.iter().map(|(of, profile)| (of.clone(), Arc::new(profile.clone()))));
    }

    /// The profiles with what was learned, by account and stream.
    pub(super) fn learned(&self) -> HashMap<(String, String), Profile> {
        self.found().learned.clone()
    }

    pub(super) fn judge_response(&self, profile: &Profile, layout: &Layout, seen: &Observation) -> Vec<Doubt> {
        judge_response(profile, layout, &self.rules, seen)
    }

    /// The transactions of an answer that the tables have, alike ones counted. That takes reading the tables.
    pub(super) async fn known(&self, lake: &Lake, answer: &Prepared) -> Result<Vec<KnownTransaction>, Failure> {
        let known = self.known.get_or_try_init(|| lake.known_transactions(&self.network)).await?;
        Ok(known.of(answer).await?)
    }

    /// What is odd about transactions that the tables have, and an answer reports otherwise.
    pub(super) fn judge_known(
        &self,
        profile: &Profile,
        layout: &Layout,
        seen: &Observation,
        found: &[KnownTransaction],
    ) -> Vec<Doubt> {
        judge_known(profile, layout, &self.rules, seen, found)
    }

    /// Whether a rule holds.
    pub(super) fn holds(&self, kind: DoubtKind) -> bool {
        self.rules.has(kind)
    }

    /// Why a response may be cut, so that it is worth asking for again.
    pub(super) fn suspicion(
        &self,
        profile: &Profile,
        findings: &BodyFindings,
        transfer: Transfer,
    ) -> Option<&'static str> {
        suspicion(profile, &self.rules, findings, transfer.closed, transfer.is_odd)
    }

    /// Why a response that isn't mapped is cut, by how it ends.
    pub(super) fn judge_ending(
        &self,
        profile: &Profile,
        layout: &Layout,
        records: usize,
        findings: &BodyFindings,
        transfer: Transfer,
    ) -> Option<String> {
        let mut seen = Observation::default();
        seen.records = records as u64;
        seen.note_end(findings, transfer.closed);
        judge_ending(profile, layout, &self.rules, &seen).map(|doubt| doubt.reason)
    }

    pub(super) fn is_few(&self, profile: &Profile, layout: &Layout, seen: &Observation) -> bool {
        judge_few(profile, layout, &self.rules, seen)
    }

    /// Whether two responses report one transaction differently.
    pub(super) fn judge_contents(&self, contents: &Contents) -> Option<Doubt> {
        contents.doubt().filter(|_| self.rules.has(DoubtKind::Conflict))
    }

    /// Whether as many records came as the network states.
    pub(super) fn judge_total(&self, listings: &Listings) -> Option<Doubt> {
        let reason = listings.difference().filter(|_| self.rules.has(DoubtKind::Total))?;
        Some(Doubt { kind: DoubtKind::Total, field: None, reason })
    }

    /// Whether an earlier doubt lets these pass, because a read agrees with it an hour later or more. `seen`: what the answer is
    /// like.
    pub(super) fn agrees(&self, warnings: &RunWarnings, slice: &Slice, doubts: &[Doubt], seen: &Observation) -> bool {
        if doubts.is_empty() || doubts.iter().any(|doubt| !self.rules.auto_accept.contains(&doubt.kind)) {
            return false;
        }
        let Some(earlier) = self.like(slice, doubts, seen).filter(|row| Utc::now() - row.agrees_since >= AGREES_AFTER)
        else {
            return false;
        };
        if warnings.admits(WarningKind::Agreed, &slice.id()) {
            let (slice, doubt, reason) = (slice.id(), &earlier.doubt_id, &doubts[0].reason);
            tracing::warn!(slice, doubt, "another read agrees, an hour later or more: accepted: {reason}");
        }
        self.found().agreed.push(earlier.clone());
        true
    }

    /// The open doubt of an earlier run with which this one agrees.
    fn like(&self, slice: &Slice, doubts: &[Doubt], seen: &Observation) -> Option<&DoubtRow> {
        let open = self.earlier.iter().filter(|row| row.state == DoubtState::Open && row.run_id != self.run_id);
        open.rev().find(|row| is_like(row, slice, doubts, seen))
    }

    /// Records a doubted slice.
    pub(super) async fn note(
        &self,
        collector: &Collector,
        slice: &Slice,
        doubts: &[Doubt],
        withheld: Withheld,
    ) -> Result<(), Failure> {
        let Some(first) = doubts.iter().min_by_key(|doubt| doubt.kind) else { return Ok(()) };
        let found_at = Utc::now();
        let reasons: Vec<&str> = doubts.iter().map(|doubt| doubt.reason.as_str()).collect();
        let row = DoubtRow {
            doubt_id: doubt_id(&self.run_id, slice),
            network: self.network.clone(),
            account: slice.account.clone(),
            stream: slice.stream.clone(),
            axis: slice.axis.name().to_owned(),
            window: slice.window,
            run_id: self.run_id.clone(),
            kind: first.kind.name().to_owned(),
            field: first.field.clone(),
            reason: text::joined(&reasons),
            request_ids: serde_json::to_string(&withheld.request_ids).unwrap_or_default(),
            records: withheld.seen.records,
            money_in_tables: self.money_in_tables(&collector.app.lake, slice).await?,
            money_in_answer: withheld.seen.money_json(),
            connector_version: withheld.connector_version,
            found_at,
            agrees_since: self.like(slice, doubts, &withheld.seen).map_or(found_at, |earlier| earlier.agrees_since),
            state: DoubtState::Open,
            decided_at: None,
            decided_by: None,
            decision: None,
        };
        if collector.warnings.admits(WarningKind::Doubtful, &row.doubt_id) {
            tracing::warn!(slice = slice.id(), doubt = row.doubt_id, "doubtful: {}", row.reason);
        }
        self.found().doubts.push(row);
        Ok(())
    }

    /// Records a slice that was read without doubt or failure. `rejects`: whether records of it are missing.
    pub(super) async fn learn(
        &self,
        collector: &Collector,
        slice: &Slice,
        seen: &Observation,
        first_sent_at: Option<DateTime<Utc>>,
        read_at: DateTime<Utc>,
        rejects: bool,
    ) -> Result<(), SliceError> {
        let before = self.profile(slice).await?;
        let mut found = self.found();
        let of = (slice.account.clone(), slice.stream.clone());
        let agreed = found.agreed.iter().find(|row| is_of(row, slice) && !overlap(row.window, slice.window).is_zero());
        let agreed = agreed.map(|row| (row.kind.clone(), row.field.clone()));
        let profile = found.learned.entry(of).or_insert_with(|| Profile::clone(&before));
        profile.add(seen);
        let mut warnings = Vec::new();
        if let Some(stream) = collector.network.manifest().stream(&slice.stream) {
            for path in unknown_inputs(profile, &stream.layout) {
                let text = unknown_input(profile, &stream.layout, &path);
                warnings.push(format!("{} {}: {text}", slice.account, slice.stream));
                profile.note_reported(&path);
            }
        }
        refilled(&self.earlier, slice, seen, read_at).for_each(|doubt_id| profile.note_refilled(doubt_id));
        let view = view(collector, slice, first_sent_at);
        if let Some((kind, field)) = agreed.filter(|_| !rejects) {
            profile.accept_pages(&kind, field.as_deref());
            profile.accept(&self.rules, slice, view.as_ref(), seen);
        }
        view.iter().filter(|_| !rejects).for_each(|view| profile.learn_fact_days(slice.axis, view.window, seen));
        match (slice.axis, view) {
            (Axis::Transaction, Some(view)) if !rejects => profile.learn_days(seen, &view),
            (Axis::Transaction, _) => {}
            (axis, Some(view)) => profile.set_window(WindowsBy::Axis(axis), view.window, seen.records),
            (axis, None) => profile.set_window(WindowsBy::Beyond(axis), slice.window, seen.records),
        }
        found.warnings.extend(warnings);
        found.clean.push(Clean { slice: slice.clone(), read_at, is_judged: true });
        Ok(())
    }

    /// Records a slice that was only collected, whole and without failure.
    pub(super) fn note_collected(&self, slice: &Slice, read_at: DateTime<Utc>) {
        self.found().clean.push(Clean { slice: slice.clone(), read_at, is_judged: false });
    }

    /// Records ids with several contents in one response.
    pub(super) fn note_conflicts(&self, slice: &Slice, conflicts: Vec<&str>) {
        let texts = conflicts.into_iter().map(|reason| format!("{} {}: {reason}", slice.account, slice.stream));
        self.found().warnings.extend(texts);
    }

    /// Records transactions that changed while a slice was read.
    pub(super) fn note_changed(&self, slice: &Slice, contents: &Contents) {
        let mut texts = contents.warnings();
        // What isn't doubted is reported all the same.
        texts.extend(contents.doubt().filter(|_| !self.rules.has(DoubtKind::Conflict)).map(|doubt| doubt.reason));
        self.found()
            .warnings
            .extend(texts.into_iter().map(|text| format!("{} {}: {text}", slice.account, slice.stream)));
    }

    /// What people should know of answers that aren't doubted: at most 20 sentences, and how many more.
    pub fn warnings(&self) -> Vec<String> {
        self.found().warnings.shown()
    }

    /// Keeps what was found, once all rows of the run are durable: its doubts, the outcome of earlier ones, profiles.
    ///
    /// # Errors
    /// The lake's failure, or the state store's.
    pub async fn conclude(&self, lake: &Lake, fence: Option<Fence>) -> Result<(), Failure> {
        let found = std::mem::take(&mut *self.found());
        let mut events = self.decided(&found);
        events.extend(found.doubts);
        lake.append_doubts(&events, fence).await?;
        for ((account, stream), profile) in found.learned {
            self.state.keep_profile(&self.network, &account, &stream, &profile.to_json()).await?;
        }
        Ok(())
    }

    /// The outcome of earlier doubts.
    fn decided(&self, found: &Findings) -> Vec<DoubtRow> {
        let mut events = Vec::new();
        let by = format!("run {}", self.run_id);
        for row in self.earlier.iter().filter(|row| row.state == DoubtState::Open && row.run_id != self.run_id) {
            let agreed = found.agreed.iter().any(|agreed| agreed.doubt_id == row.doubt_id);
            let again = found.doubts.iter().find(|other| replaces(other, row));
            let (state, by, why) = if agreed {
                (DoubtState::Accepted, by.clone(), "another read agreed, an hour later or more")
            } else if let Some(again) = again {
                (
                    DoubtState::Superseded,
                    format!("doubt {}", again.doubt_id),
                    "another read is doubted for the same reason",
                )
            } else if is_read_again(row, &found.clean) {
                (DoubtState::Superseded, by.clone(), "its window was read again without doubt")
            } else {
                continue;
            };
            events.push(DoubtRow {
                state,
                decided_at: Some(Utc::now()),
                decided_by: Some(by),
                decision: Some(why.to_owned()),
                ..row.clone()
            });
        }
        events
    }
}
