//! The gate of a slice: mapped responses are held until the slice is read, judged together, and only then handed to the
//! tables. A doubted answer ends here: raw keeps it, and nothing of it reaches the tables.
//!
//! What is held keeps its memory, so a slice that is too large, or that others wait for, is judged and handed on piece by
//! piece. It keeps none of the run's response permits: those are for responses on their way.

use std::sync::Arc;

use sluice_lake::{KnownCounts, Prepared};
use sluice_model::{ErrorKind, Layout, RawObject, Slice};

use super::contents::Contents;
use super::guard::Guard;
use super::listings::Listings;
use super::together::Together;
use super::withheld::Withheld;
use super::{Collector, Progress};
use crate::doubt::{Doubt, DoubtKind, Observation, Profile, is_odd};
use crate::failure::{Failure, SliceError};
use crate::memory::{ByteLimit, HeldBytes, Reservation};
use crate::tables::PreparedResponse;
use crate::text;

/// Responses of a slice that are held at most, if nothing states how many records it has.
const MAX_HELD: usize = 16;

/// Why responses are cut, of so many of a slice: they are joined to a short text.
const MAX_CUT_REASONS: usize = 20;
/// Bytes of a slice beside its responses: how it is read, by what it is judged, what it reports.
const OF_SLICE: usize = 4 << 10;

/// A response on its way to the tables.
struct HeldResponse {
    prepared: Prepared,
    memory: Arc<Reservation>,
    seen: Observation,
    raw: Arc<RawObject>,
    /// It was compared with the slice's other responses.
    is_compared: bool,
}

/// What of a slice is held, and what is known of it.
#[derive(Default)]
pub struct Gate {
    held: Vec<HeldResponse>,
    /// What of it isn't in the budget.
    few: Option<HeldBytes>,
    /// Something was handed on already.
    is_open: bool,
    /// All responses of the slice.
    seen: Observation,
    /// Why the slice can't be committed; none of a kind and field twice.
    doubts: Vec<Doubt>,
    /// The responses that never reach the tables.
    withheld: Withheld,
    /// Responses that are cut and can't be read, and why: of the first few.
    cut: Withheld,
    cut_reasons: Vec<String>,
    listings: Listings,
    contents: Contents,
}

impl Gate {
    /// Whether responses wait in it.
    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// What all responses of the slice are like.
    pub(super) fn seen(&self) -> &Observation {
        &self.seen
    }

    /// How many records each listing gave, and the network states.
    pub(super) fn listings(&mut self) -> &mut Listings {
        &mut self.listings
    }

    /// Records an answer: its records, and the total that it states.
    pub(super) fn note_answer(&mut self, raw: &RawObject, answer: &PreparedResponse, limit: &ByteLimit) {
        self.listings.answered(&raw.request.key, answer.records, answer.total);
        if self.listings.has_room(limit) {
            self.listings.page(&raw.request.key, raw.body, answer.records, answer.seen.transactions);
        }
    }

    /// What its responses report of each transaction.
    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// Records a response that is cut and can't be read: its slice is doubtful.
    pub(super) fn note_cut(&mut self, raw: &RawObject, reason: &str) {
        self.cut.add(raw, &Observation::default());
        if self.cut_reasons.len() < MAX_CUT_REASONS {
            self.cut_reasons.push(reason.to_owned());
        }
    }

    /// Whether there are responses that are cut and can't be read.
    pub(super) fn is_cut(&self) -> bool {
        !self.cut_reasons.is_empty()
    }

    /// Drops responses that are cut: their window is asked for in halves.
    pub(super) fn forget_cut(&mut self) {
        (self.cut, self.cut_reasons) = Default::default();
    }

    /// What is doubted because responses are cut.
    fn doubts_of_cut(&mut self) -> Vec<Doubt> {
        self.withheld.append(std::mem::take(&mut self.cut));
        let cut_reasons = std::mem::take(&mut self.cut_reasons);
        let reasons: Vec<&str> = cut_reasons.iter().map(String::as_str).collect();
        let doubt = Doubt { kind: DoubtKind::Cut, field: None, reason: text::joined(&reasons) };
        if reasons.is_empty() { Vec::new() } else { vec![doubt] }
    }

    /// Compares held responses with the others of the slice. One that stays alone isn't read for that.
    fn compare(&mut self, limit: &ByteLimit) {
        let Self { held, contents, listings, .. } = self;
        for held in held.iter_mut().filter(|held| !held.is_compared) {
            let listing = listings.place_of(&held.raw.request.key);
            let repeated = contents.add(&held.prepared, listing, limit);
            listings.repeated(listing, repeated);
            if listing.is_some() {
                listings.came_again(&held.raw.request.key, repeated, held.seen.records);
            }
            held.is_compared = true;
        }
    }

    /// Records doubts, and drops what is held.
    fn doubt(&mut self, doubts: Vec<Doubt>, held: Vec<HeldResponse>) {
        for doubt in doubts {
            if !self.doubts.iter().any(|known| (known.kind, &known.field) == (doubt.kind, &doubt.field)) {
                self.doubts.push(doubt);
            }
        }
        for held in held {
            self.withheld.add(&held.raw, &held.seen);
        }
    }
}

/// How a slice's end was judged.
pub(super) enum SliceOutcome {
    /// It is in the tables, or doubted.
    Done,
    /// It has too few records to be judged alone, and looks odd: it is judged with others of its stream.
    Few,
}

impl Collector {
    /// Takes a mapped response: hands it to the tables, or holds it until its slice is read.
    pub(super) async fn hold(
        &self,
        slice: &Slice,
        progress: &Progress,
        raw: Arc<RawObject>,
        answer: PreparedResponse,
        memory: Arc<Reservation>,
    ) -> Result<(), SliceError> {
        self.months.admit(answer.prepared.months())?;
        self.guard.note_conflicts(slice, answer.prepared.conflicts());
        let held = HeldResponse { prepared: answer.prepared, memory, seen: answer.seen, raw, is_compared: false };
        let is_full = {
            let mut gate = progress.gate();
            gate.seen.merge(&held.seen);
            if !gate.doubts.is_empty() || gate.is_cut() {
                gate.withheld.add(&held.raw, &held.seen);
                return Ok(());
            }
            gate.held.push(held);
            if gate.seen.responses > 1 {
                gate.compare(&self.app.contents);
            }
            // Where the network states how many records there are, nothing is handed on before they are counted.
            let is_long = gate.held.len() >= MAX_HELD && !gate.listings.are_stated();
            gate.is_open || is_long || self.app.memory.is_half_used()
        };
        if is_full { self.pass(slice, progress).await } else { Ok(()) }
    }

    /// Judges what is held, and hands it on or drops it.
    pub(super) async fn pass(&self, slice: &Slice, progress: &Progress) -> Result<(), SliceError> {
        if !progress.gate().is_holding() {
            return Ok(());
        }
        let profile = self.guard.profile(slice).await?;
        let held = {
            let mut gate = progress.gate();
            gate.compare(&self.app.contents);
            let held = std::mem::take(&mut gate.held);
            if gate.is_cut() {
                held.iter().for_each(|held| gate.withheld.add(&held.raw, &held.seen));
                return Ok(());
            }
            held
        };
        let mut doubts = self.judge_held(&self.guard, &profile, slice, &held).await?;
        doubts.extend(self.guard.judge_contents(progress.gate().contents()));
        doubts.extend(self.guard.judge_pages(&profile, progress.gate().listings()));
        self.decide(progress, held, doubts).await
    }

    /// What is odd about held responses: about each, and about all of them together, compared with what was usual and
    /// with what the tables have of the same transactions.
    async fn judge_held(
        &self,
        guard: &Guard,
        profile: &Profile,
        slice: &Slice,
        held: &[HeldResponse],
    ) -> Result<Vec<Doubt>, SliceError> {
        let Some(stream) = self.network.manifest().stream(&slice.stream) else { return Ok(Vec::new()) };
        let layout = &stream.layout;
        let (mut doubts, mut known, mut all) = (Vec::new(), KnownCounts::default(), Observation::default());
        let are_several = held.len() > 1;
        held.iter().for_each(|held| all.merge(&held.seen));
        if are_several {
            doubts = guard.judge_response(profile, layout, &all);
        }
        held.iter().for_each(|held| doubts.extend(guard.judge_response(profile, layout, &held.seen)));
        // What is odd about all may be spread over them.
        let is_all_odd = are_several && is_odd(profile, &all);
        for held in held {
            doubts.extend(guard.judge_facts(&self.app.lake, profile, &held.seen, &held.prepared).await?);
            if !is_all_odd && !is_odd(profile, &held.seen) {
                continue;
            }
            let found = guard.known(&self.app.lake, &held.prepared).await?;
            doubts.extend(guard.judge_known(profile, layout, &held.seen, &found));
            guard.note_moved(&found);
            if are_several {
                found.into_iter().for_each(|transactions| known.add(transactions));
            }
        }
        doubts.extend(guard.judge_window(profile, slice, &all));
        if are_several {
            doubts.extend(guard.judge_known(profile, layout, &all, &known.into_rows()));
        }
        Ok(doubts)
    }

    async fn decide(&self, progress: &Progress, held: Vec<HeldResponse>, doubts: Vec<Doubt>) -> Result<(), SliceError> {
        if !doubts.is_empty() {
            progress.gate().doubt(doubts, held);
            return Ok(());
        }
        let Some(tables) = &self.tables else { return Ok(()) };
        progress.gate().is_open |= !held.is_empty();
        for held in held {
            tables.add(held.prepared, Box::new(held.memory)).await.map_err(Failure::from)?;
        }
        Ok(())
    }

    /// Judges a slice that was read to its end, or as far as it came: `is_whole` if every request was answered. Its
    /// doubts are errors of its report. One that is only collected has no records to judge.
    pub(super) async fn settle(&self, slice: &Slice, progress: &Progress, is_whole: bool) -> SliceOutcome {
        let guard = &self.guard;
        let is_whole = is_whole && self.tables.is_some();
        let profile = match guard.profile(slice).await {
            Ok(profile) => profile,
            Err(error) => {
                progress.fail(error);
                return SliceOutcome::Done;
            }
        };
        let is_few = |layout: &Layout| {
            let gate = progress.gate();
            !gate.is_open && guard.is_few(&profile, layout, gate.seen())
        };
        let stream = self.network.manifest().stream(&slice.stream);
        if is_whole && stream.is_some_and(|stream| is_few(&stream.layout)) {
            let mut gate = progress.gate();
            let bytes = gate.held.iter().fold(OF_SLICE, |sum, held| sum.saturating_add(held.memory.bytes()));
            gate.few = self.app.few.hold(bytes);
            if gate.few.is_some() {
                // They may be held for long, so they don't count against the budget that others wait for.
                gate.held.iter().for_each(|held| held.memory.resize(0));
                return SliceOutcome::Few;
            }
        }
        if is_whole {
            guard.note_alone(slice, progress.gate().seen());
        }
        self.settle_by(guard, &profile, slice, progress, is_whole, Vec::new()).await;
        SliceOutcome::Done
    }

    /// What is odd about slices of one stream that have too few records each, all of them together.
    pub(super) async fn judge_together(
        &self,
        slices: impl Iterator<Item = (&Slice, &Progress)>,
    ) -> Result<Together, SliceError> {
        let slices: Vec<_> = slices.map(|(slice, progress)| (slice, progress.gate().seen().clone())).collect();
        let stream = slices.first().and_then(|(slice, _)| self.network.manifest().stream(&slice.stream));
        let Some(stream) = stream else { return Ok(Together::default()) };
        self.guard.judge_together(&stream.layout, &slices).await
    }

    /// Settles a slice with what was found when it was judged together with others.
    pub(super) async fn settle_few(&self, slice: &Slice, progress: &Progress, found: Together) {
        let guard = &self.guard;
        match guard.profile(slice).await {
            Ok(profile) => {
                let doubts = found.of(guard.is_few_money(&profile, progress.gate().seen()));
                self.settle_by(guard, &profile, slice, progress, true, doubts).await;
            }
            Err(error) => progress.fail(error),
        }
    }

    async fn settle_by(
        &self,
        guard: &Guard,
        profile: &Profile,
        slice: &Slice,
        progress: &Progress,
        is_whole: bool,
        mut doubts: Vec<Doubt>,
    ) {
        let held = std::mem::take(&mut progress.gate().held);
        let cut = progress.gate().doubts_of_cut();
        // What can't be read can't be accepted, whatever other reads say.
        let may_agree = cut.is_empty();
        doubts.extend(cut);
        match self.judge_held(guard, profile, slice, &held).await {
            Ok(more) => doubts.extend(more),
            // Raw keeps what can't be judged now.
            Err(error) => return progress.fail(error),
        }
        doubts.extend(guard.judge_contents(progress.gate().contents()));
        doubts.extend(guard.judge_pages(profile, progress.gate().listings()));
        guard.note_changed(slice, progress.gate().contents());
        guard.note_repeat(profile, slice, progress.gate().listings());
        if is_whole {
            doubts.extend(guard.judge_total(progress.gate().listings()));
            let (seen, first_sent_at) = (progress.gate().seen().clone(), progress.lock().first_sent_at);
            match guard.judge_whole(self, profile, slice, &seen, first_sent_at).await {
                Ok(more) => doubts.extend(more),
                Err(error) => progress.fail(error.into()),
            }
        }
        let may_agree = may_agree && progress.gate().doubts.is_empty();
        let mut answer = Observation::default();
        held.iter().filter(|_| !doubts.is_empty()).for_each(|held| answer.merge(&held.seen));
        if may_agree && guard.agrees(&self.warnings, slice, &doubts, &answer) {
            doubts.clear();
        }
        if let Err(error) = self.decide(progress, held, doubts).await {
            progress.fail(error);
        }
        let (doubts, withheld) = {
            let mut gate = progress.gate();
            (std::mem::take(&mut gate.doubts), std::mem::take(&mut gate.withheld))
        };
        if doubts.is_empty() {
            return;
        }
        for doubt in &doubts {
            progress.fail(SliceError::new(ErrorKind::Doubt, doubt.title()));
        }
        if let Err(error) = guard.note(self, slice, &doubts, withheld).await {
            progress.fail(error.into());
        }
    }
}
