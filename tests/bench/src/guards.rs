//! What the guards of a run take: of each row, and of the tables that they compare it with.

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use futures::StreamExt;
use sluice_engine::{Connector, Engine, EngineOptions, TwiceCheck};
use sluice_lake::{Lake, RawFilter};
use sluice_model::{Axis, Layout, Mapped, RawObject, Window};
use sluice_runtime::doubt::{DoubtSettings, Observation, Profile, is_odd, judge_known, judge_response};
use sluice_runtime::tables::PreparedResponse;

use crate::network::Work;

/// Responses that are judged.
const RESPONSES: usize = 50;

/// CPU seconds that the guards of a run take.
pub(crate) struct Guards {
    /// As the run was. Each row is judged and learned of, and its state made ready to be looked for in the slice's other
    /// responses, as if each slice had several. Answers that are odd are compared with the tables.
    pub(crate) secs: f64,
    /// The same if one account of each window had an empty answer, and one answer of each window were odd.
    pub(crate) odd_secs: f64,
}

/// Measures the guards of a run, by what a lake holds of a network after it.
pub(crate) fn measure(connectors: &Path, name: &str, lake: &Path, work: Work) -> anyhow::Result<Guards> {
    let engine = Engine::new(EngineOptions::default())?;
    let connector = engine.load(&std::fs::read(connectors.join(format!("{name}.wasm")))?, name)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let lake = Lake::open(lake.to_str().context("no path")?).await?;
        let (per_row, profile, answers) = judged(&connector, responses(&lake, &connector).await?)?;
        let windows = work.bounds()?;
        let per_window = compared(&lake, &connector, &answers, &windows).await? / windows.len() as f64;
        let odd = answers.iter().filter(|answer| is_odd(&profile, &answer.seen)).count();
        let (rows, odd) = (per_row * work.rows() as f64, odd as f64 / answers.len() as f64 * work.requests() as f64);
        Ok(Guards { secs: rows + odd * per_window, odd_secs: rows + windows.len() as f64 * per_window })
    })
}

/// Some responses of the lake, mapped.
async fn responses(lake: &Lake, connector: &Connector) -> anyhow::Result<Vec<(RawObject, Mapped)>> {
    let filter = RawFilter { network: Some(connector.network().to_owned()), ..RawFilter::default() };
    let mut objects = lake.raw_objects(&filter).await?.take(RESPONSES);
    let mut responses = Vec::new();
    while let Some(raw) = objects.next().await {
        let raw = raw?;
        let body = lake.raw_body(raw.body).await?;
        let mapped = connector.map_raw(&raw, body, TwiceCheck::Sampled)?;
        responses.push((raw, mapped));
    }
    ensure!(!responses.is_empty(), "the lake has no responses");
    Ok(responses)
}

/// Seconds that it takes to judge each row, what is learned, and the answers, judged.
fn judged(
    connector: &Connector,
    responses: Vec<(RawObject, Mapped)>,
) -> anyhow::Result<(f64, Profile, Vec<PreparedResponse>)> {
    let (mut profile, rules) = (Profile::default(), DoubtSettings::default());
    let (mut secs, mut rows, mut answers) = (0.0, 0, Vec::new());
    for (raw, mapped) in responses {
        let layout = layout(connector, &raw)?;
        let start = Instant::now();
        let seen = Observation::of(&mapped);
        black_box(judge_response(&profile, layout, &rules, &seen));
        profile.add(&seen);
        secs += start.elapsed().as_secs_f64();
        rows += mapped.records();
        let answer = PreparedResponse::of(connector, raw.into(), mapped).map_err(|failure| failure.error)?;
        let start = Instant::now();
        black_box(answer.prepared.states());
        secs += start.elapsed().as_secs_f64();
        answers.push(answer);
    }
    Ok((secs / rows.max(1) as f64, profile, answers))
}

/// Seconds that it takes to compare each window with the tables, and one answer of each.
async fn compared(
    lake: &Lake,
    connector: &Connector,
    answers: &[PreparedResponse],
    windows: &[Window],
) -> anyhow::Result<f64> {
    let rules = DoubtSettings::default();
    let start = Instant::now();
    let transactions = lake.known_transactions(connector.network()).await?;
    for (at, window) in windows.iter().enumerate() {
        black_box(lake.window_states(connector.network(), Axis::Transaction, *window).await?);
        let answer = &answers[at % answers.len()];
        let known = transactions.of(&answer.prepared).await?;
        let layout = layout(connector, answer.prepared.origin())?;
        black_box(judge_known(&Profile::default(), layout, &rules, &answer.seen, &known));
    }
    Ok(start.elapsed().as_secs_f64())
}

fn layout<'a>(connector: &'a Connector, raw: &RawObject) -> anyhow::Result<&'a Layout> {
    Ok(&connector.manifest().stream(&raw.slice.stream).context("no such stream")?.layout)
}
