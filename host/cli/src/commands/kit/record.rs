//! `sluice record`: live answers as fixtures that name nobody.

use std::io::Write;
use std::sync::Arc;

use chrono::Utc;
use sluice_engine::Limits;
use sluice_kit::Recording;
use sluice_runtime::app::{self, App};
use sluice_runtime::explain::Evidence;
use sluice_runtime::failure::Failure;
use sluice_runtime::run;
use sluice_runtime::selection::PartText;
use sluice_runtime::settings::Settings;
use sluice_runtime::text::count;
use sluice_state::Verb;

use super::failed;
use crate::arguments::RecordArgs;
use crate::commands::{print_json, report};
use crate::progress::Display;

/// Collects a window of an account into raw, as `sluice collect` does, and writes the answers as fixtures.
///
/// # Errors
/// A run that fails, and answers that can't be scrubbed.
pub(in crate::commands) async fn record(settings: Settings, args: &RecordArgs, json: bool) -> Result<(), Failure> {
    let RecordArgs { stream, axis, .. } = args;
    let [account, since, until] = [&args.account, &args.since, &args.until].map(|text| Some(text.clone()));
    let part = PartText { account: &account, stream, axis, since: &since, until: &until };
    let selection = part.selection(Utc::now())?;
    let fetch = settings.fetch.clone();
    let display = Display::start(json);
    let app = Arc::new(App::open_with(settings, display.meter()).await?);
    let network = app.network(&args.network)?;
    let claim = app.claim(&args.network).await?;
    let ran = claim.guard(run::run(&app, &network, &claim, Verb::Collect, &selection)).await;
    claim.release().await;
    drop(display);
    let ran = ran?;
    let run_id = ran.run_id.clone();
    report::check(&[ran])?;
    let evidence = Evidence::new(app.lake.clone(), app::open_engine_within(Limits::default())?, fetch);
    let mut answers = Vec::new();
    for kept in app.lake.run_responses(&run_id).await? {
        let raw = app.lake.run_response(&kept.envelope).await?;
        let body = evidence.body(&raw).await?;
        answers.push((raw, body));
    }
    let recording = sluice_kit::record(&network.connector, &answers, &args.into).map_err(failed)?;
    print(&recording, json)
}

fn print(recording: &Recording, json: bool) -> Result<(), Failure> {
    recording.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    if json {
        return print_json(recording);
    }
    let mut out = std::io::stdout().lock();
    for case in &recording.cases {
        writeln!(out, "{}", case.display())?;
    }
    let Recording { answers, rows, .. } = recording;
    writeln!(
        out,
        "{}, {}: ids, names and references are replaced",
        count(*answers as u64, "answer"),
        count(*rows as u64, "row")
    )?;
    Ok(writeln!(out, "read them before you commit them: what is personal in other fields is not known")?)
}
