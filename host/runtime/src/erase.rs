//! Erasure: a person's identifiers are replaced by stand-ins in raw, tables, the state store and published databases.
//!
//! The order makes that a process may die anywhere and the same command goes on: raw gets bodies without the values beside those
//! with them, from which everything else follows; then digests of the values are noted, with their stand-ins; then tables and
//! envelopes are rewritten, and at last what is old is deleted. See `docs/decisions/0032-erasure.md`.

mod compare;
mod raw;
mod report;
mod texts;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sluice_fetch::{Erased, ErasedValue};
use sluice_lake::{Fence, Substitutes};
use sluice_model::{Digest, Step};
use sluice_state::{Erasures, host};

pub use report::ErasureReport;
use texts::Texts;

use crate::app::App;
use crate::claims::Claims;
use crate::failure::Failure;
use crate::meter::Unit;
use crate::publish;
use crate::record;
use crate::settings::network;
use crate::slices::look_back_days;
use crate::step;

/// What to erase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErasureRequest {
    /// These values.
    Values(Vec<String>),
    /// All values that were erased before, where they came again since.
    Again,
}

/// An erasure under way.
struct Erasing<'a> {
    app: &'a Arc<App>,
    erased: Arc<Erased>,
    /// Whether an earlier one of the same values didn't come to its end.
    is_resumed: bool,
    id: String,
    at: DateTime<Utc>,
}

/// What an erasure would change; nothing is written.
///
/// # Errors
/// A value that can't be erased, or one that stands where it is no identifier; the lake's and the state store's failure.
pub async fn plan(app: &Arc<App>, request: &ErasureRequest) -> Result<ErasureReport, Failure> {
    Erasing::of(app, request).await?.run(None).await
}

/// Erases values, alone in the lake: all networks are claimed, and maintenance.
///
/// # Errors
/// As [`plan`]; the failure of a published database, after everything else is done. The same call goes on with what is left.
pub async fn erase(app: &Arc<App>, request: &ErasureRequest) -> Result<ErasureReport, Failure> {
    app.state.make_erasure_key().await?;
    let claims = Claims::of_lake(app).await?;
    let erased = async { Erasing::of(app, request).await?.run(claims.fence()).await };
    let erased = claims.guard(erased).await;
    claims.release().await;
    let mut report = erased?;
    if !app.settings.publish.is_empty() {
        report.published = publish::publish(&app.settings, &app.lake, None, true).await?;
    }
    Ok(report)
}

impl<'a> Erasing<'a> {
    async fn of(app: &'a Arc<App>, request: &ErasureRequest) -> Result<Self, Failure> {
        let Erasures { erased: known, unfinished } = app.state.erasures().await?;
        let mut erased = known.clone();
        if let ErasureRequest::Values(values) = request {
            let chosen = values.iter().map(|value| {
                let refused =
                    |why| Failure::usage(format!("the value of {} bytes can't be erased: {why}", value.len()));
                known.value(value).map_err(refused)
            });
            erased = known.of(chosen.collect::<Result<Vec<ErasedValue>, Failure>>()?);
        }
        let is_resumed = erased.values().iter().any(|value| unfinished.contains(&value.digest));
        let id = uuid::Uuid::now_v7().to_string();
        Ok(Self { app, erased: Arc::new(erased), is_resumed, id, at: Utc::now() })
    }

    /// Does everything in the order in which it may be interrupted. Without a fence nothing is written.
    async fn run(&self, fence: Option<Fence>) -> Result<ErasureReport, Failure> {
        let (app, is_dry) = (self.app, fence.is_none());
        let raw = raw::RawErasure::of(app, &self.erased, is_dry).await?;
        step::passed(Step::BodiesRewritten);
        let texts = Texts::new(self.erased.clone());
        let mut substitutes = texts.substitutes(&raw);
        app.meter.begin("search the tables", Unit::Nothing, 0);
        let tables = app.lake.plan_erasure(&mut substitutes).await?;
        raw.holds_all_of(app, &tables).await?;
        let mut report = ErasureReport {
            id: self.id.clone(),
            at: self.at,
            by: who(),
            dry_run: is_dry,
            stand_ins: self.erased.values().iter().map(|value| value.stand_in.clone()).collect(),
            responses: raw.envelopes.len() as u64,
            bodies: raw.bodies.len() as u64,
            amounts: raw.amounts,
            look_back_days: self.look_back_days()?,
            tables: tables
                .into_iter()
                .filter(|table| table.rows + table.renamed > 0 || !table.left.is_empty())
                .collect(),
            ..ErasureReport::default()
        };
        report.markers = app.lake.replace_markers(&texts.documents(), true).await?;
        report.state = app.state.replace_texts(&texts.documents(), true).await?;
        let old_bodies = raw.old_bodies(app, &self.erased).await?;
        report.deleted_bodies = old_bodies.len() as u64;
        if fence.is_some() {
            report.deleted_files = app.lake.remove_partial_files(self.at).await?;
        }
        if let Some(fence) = fence.filter(|_| self.is_resumed || !report.is_empty()) {
            self.note(&raw).await?;
            self.write(&raw, &old_bodies, &texts, &substitutes, &fence, &mut report).await?;
        }
        Ok(report)
    }

    /// Notes what was found: in bodies, or only elsewhere. What was found nowhere may be anything when it comes.
    async fn note(&self, raw: &raw::RawErasure) -> Result<(), Failure> {
        let is_in_bodies = |value: &&ErasedValue| raw.seen.is_empty() || raw.seen.contains(&value.digest);
        for value in self.erased.values().iter().filter(is_in_bodies) {
            self.app.state.begin_erasure(value, self.at).await?;
        }
        step::passed(Step::ErasureNoted);
        Ok(())
    }

    async fn write(
        &self,
        raw: &raw::RawErasure,
        old_bodies: &[Digest],
        texts: &Texts,
        substitutes: &Substitutes,
        fence: &Fence,
        report: &mut ErasureReport,
    ) -> Result<(), Failure> {
        let Self { app, .. } = self;
        app.meter.rename("rewrite the tables");
        let erased = || step::passed(Step::TableErased);
        app.lake.erase_tables(substitutes, std::slice::from_ref(fence), erased).await?;
        step::passed(Step::TablesErased);
        app.meter.rename("rewrite raw");
        raw.rewrite_envelopes(app, texts).await?;
        report.markers = app.lake.replace_markers(&texts.documents(), false).await?;
        for body in old_bodies {
            app.lake.delete_raw_body(*body).await?;
        }
        step::passed(Step::BodiesDeleted);
        app.meter.rename("delete earlier versions of tables");
        // Of all tables: an earlier version may hold what a replay took out of the newest one.
        for table in app.lake.tables().await? {
            report.deleted_files += app.lake.forget_history(&table).await?;
            step::passed(Step::HistoryForgotten);
        }
        app.lake.remove_new_tables().await?;
        report.state = app.state.replace_texts(&texts.with_names(substitutes), false).await?;
        app.state.forget_replaced().await?;
        step::passed(Step::StateErased);
        let text = serde_json::to_vec(report).map_err(Failure::failed)?;
        app.lake.put_erasure(&self.id, &text).await?;
        let row = record::offline(&self.id, "*", "erase", self.at, None, sluice_lake::Counts::default());
        app.lake.append_runs(&[row], Some(fence.clone())).await?;
        for value in self.erased.values() {
            app.state.end_erasure(&value.digest, Utc::now()).await?;
        }
        Ok(())
    }

    /// For how many days a network may report the values again.
    fn look_back_days(&self) -> Result<Option<u32>, Failure> {
        let networks = network::load_each(&self.app.settings.networks_dir)?.networks;
        let days = networks.iter().filter_map(|settings| {
            let network = self.app.network(&settings.name).ok()?;
            look_back_days(&network)
        });
        Ok(days.max())
    }
}

/// Who runs this process, for the record.
fn who() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    format!("{}@{}", user.unwrap_or_else(|| "unknown".to_owned()), host())
}
