//! The map stage of each connector: sandboxed, native, and the decoding before both. One thread, medians.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;
use sluice_engine::{Connector, Decoded, Engine, EngineOptions, Limits};
use sluice_model::{Request, Response, Slice, Window};

use crate::bodies;
use crate::natives::{self, Twin};

/// Records of a body.
const RECORDS: usize = 5_000;
/// Rounds before the measurement.
const WARM_UPS: usize = 5;
/// Rounds of which the median is taken.
const ROUNDS: usize = 21;
/// The same, of what is the difference of two of them.
const BOUNDS_ROUNDS: usize = 201;

/// What a connector's map stage gives.
#[derive(Serialize)]
pub(crate) struct MapSpeed {
    /// The network.
    pub(crate) connector: String,
    /// Records of the body.
    pub(crate) records: usize,
    /// Of `Connector::map`: a fresh instance, columns in, the mapping, columns out, all checks of the host, and the
    /// record batch.
    pub(crate) sandboxed_rows_per_s: f64,
    /// Of the same mapping code without sandbox: columns copied in, the mapping, the contract's columns out.
    pub(crate) native_rows_per_s: Option<f64>,
    /// How much longer the first takes than the second.
    pub(crate) ratio: Option<f64>,
    /// How much longer it takes with all limits than with none.
    pub(crate) limits_ratio: f64,
    /// Of the host's decoder on the same body.
    pub(crate) decode_mb_per_s: f64,
    /// Whether its README gives a reason for its speed.
    pub(crate) is_explained: bool,
}

/// How a line of a README begins that gives a reason for the speed of its connector.
const REASON: &str = "Speed: ";
/// The connector that the others are held against, and the part of its speed, as a denominator, below which they need a reason.
const MEASURE: (&str, f64) = ("awin", 3.0);

/// Connectors that are too slow beside the one they are held against, without a reason in their README.
pub(crate) fn slow(speeds: &[MapSpeed]) -> impl Iterator<Item = String> {
    let (name, part) = MEASURE;
    let usual = speeds.iter().find(|speed| speed.connector == name).map_or(0.0, |speed| speed.sandboxed_rows_per_s);
    let is_slow = move |speed: &&MapSpeed| speed.sandboxed_rows_per_s * part < usual && !speed.is_explained;
    speeds.iter().filter(is_slow).map(move |speed| {
        let share = speed.sandboxed_rows_per_s / usual;
        format!(
            "`{}` maps {share:.2} of the rows per second that `{name}` does: its README needs a line `{REASON}…`",
            speed.connector
        )
    })
}

/// A connector with a body and what it takes to map it.
struct Case {
    connector: Connector,
    /// The same component where nothing is limited.
    unlimited: Connector,
    slice: Slice,
    request: Request,
    response: Response,
    decoded: Decoded,
    twin: Option<Box<dyn Twin>>,
}

/// Measures every connector of the repository, by its file in `dir`.
pub(crate) fn measure(dir: &Path) -> anyhow::Result<Vec<MapSpeed>> {
    let [engine, unlimited] = engines()?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&root)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    let measured = folders.iter().map(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let case = case([&engine, &unlimited], &name, (folder, RECORDS), dir)
            .with_context(|| format!("cannot prepare connector `{name}`"))?;
        let readme = std::fs::read_to_string(folder.join("README.md"))?;
        let is_explained = readme.lines().any(|line| line.starts_with(REASON));
        Ok(MapSpeed { is_explained, ..speed(name, &case)? })
    });
    measured.collect()
}

fn case(engines: [&Engine; 2], name: &str, (folder, records): (&Path, usize), dir: &Path) -> anyhow::Result<Case> {
    let file = dir.join(format!("{name}.wasm"));
    let wasm = std::fs::read(&file).with_context(|| format!("no {}: run `just build`", file.display()))?;
    let [connector, unlimited] = engines.map(|engine| engine.load(&wasm, name));
    let (connector, unlimited) = (connector?, unlimited?);
    let slice = slice(&connector, &serde_json::from_slice(&std::fs::read(folder.join("fixtures/slice.json"))?)?)?;
    let request = connector.plan(&slice)?.into_iter().next().context("it plans no request")?;
    let layout = &connector.manifest().stream(&slice.stream).context("no such stream")?.layout;
    let fixture = std::fs::read(folder.join("fixtures/normal/body"))?;
    let body = Bytes::from(bodies::multiplied(layout, &fixture, records)?);
    let decoded = connector.decode(&slice.stream, &[], &body)?;
    ensure!(decoded.records() == records, "{} records instead of {records}", decoded.records());
    let rows = u32::try_from(decoded.records())?;
    let twin = natives::twin(&slice, body.clone(), rows)?;
    let response = Response { status: 200, headers: Vec::new(), body, records: Some(rows), problem: None };
    Ok(Case { connector, unlimited, slice, request, response, decoded, twin })
}

fn slice(connector: &Connector, at: &Value) -> anyhow::Result<Slice> {
    let text = |name: &str| at[name].as_str().with_context(|| format!("slice.json lacks {name}"));
    let stream = connector.manifest().stream(text("stream")?).context("no such stream")?;
    let settings = at["settings"].as_object().context("slice.json lacks settings")?;
    Ok(Slice {
        network: connector.network().to_owned(),
        account: text("account")?.to_owned(),
        stream: stream.name.clone(),
        settings: settings
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
        window: Window { since: text("since")?.parse()?, until: text("until")?.parse()? },
        timezone: stream.timezone.parse().context("no zone")?,
        axis: serde_json::from_value(at["axis"].clone())?,
        cursor: None,
    })
}

fn speed(connector: String, case: &Case) -> anyhow::Result<MapSpeed> {
    agree(case)?;
    let mut all = [const { Vec::new() }; 4];
    // In turns, so that whatever else the machine does meets all of them.
    for round in 0..WARM_UPS + ROUNDS {
        let (batch, same) = (case.decoded.clone(), case.decoded.clone());
        let times = [
            timed(|| case.connector.map(&case.slice, &case.request, &case.response, batch))?,
            timed(|| case.unlimited.map(&case.slice, &case.request, &case.response, same))?,
            match &case.twin {
                Some(twin) => timed(|| twin.map(case.inputs(), &case.decoded.batch))?,
                None => Duration::ZERO,
            },
            timed(|| case.connector.decode(&case.slice.stream, &[], &case.response.body))?,
        ];
        if round >= WARM_UPS {
            for (all, time) in all.iter_mut().zip(times) {
                all.push(time.as_secs_f64());
            }
        }
    }
    // Round by round, since a machine that others use is at times slow for both.
    let limits = all[0].iter().zip(&all[1]).map(|(sandboxed, unlimited)| sandboxed / unlimited).collect();
    let [sandboxed, _, native, decoded] = all.map(median);
    let rows = case.decoded.batch.rows as f64;
    let has_twin = case.twin.is_some();
    Ok(MapSpeed {
        connector,
        records: case.decoded.batch.rows,
        sandboxed_rows_per_s: rows / sandboxed,
        native_rows_per_s: has_twin.then_some(rows / native),
        limits_ratio: median(limits),
        ratio: has_twin.then_some(sandboxed / native),
        decode_mb_per_s: case.response.body.len() as f64 / 1e6 / decoded,
        is_explained: false,
    })
}

/// Seconds that the bounds of a run take for each row of a connector, in responses of so many: what decoding and mapping with
/// all limits take longer than with none.
pub(crate) fn bounds_secs_per_row(dir: &Path, name: &str, records: usize) -> anyhow::Result<f64> {
    let [engine, unlimited] = engines()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../connectors").join(name);
    let case = case([&engine, &unlimited], name, (&folder, records), dir)?;
    let work = |connector: &Connector| {
        timed(|| {
            let decoded = connector.decode(&case.slice.stream, &[], &case.response.body)?;
            anyhow::Ok(connector.map(&case.slice, &case.request, &case.response, decoded)?)
        })
    };
    let mut longer = Vec::new();
    for round in 0..WARM_UPS + BOUNDS_ROUNDS {
        let (with, without) = (work(&case.connector)?.as_secs_f64(), work(&case.unlimited)?.as_secs_f64());
        longer.extend((round >= WARM_UPS).then_some(with - without));
    }
    Ok(median(longer).max(0.0) / records as f64)
}

/// With all limits, and with none.
fn engines() -> anyhow::Result<[Engine; 2]> {
    let unlimited =
        EngineOptions { limits: Limits::none(), check_every: 0, max_instances: 2, ..EngineOptions::default() };
    Ok([Engine::new(EngineOptions::default())?, Engine::new(unlimited)?])
}

/// Both ways must give the same number of rows, and some.
fn agree(case: &Case) -> anyhow::Result<()> {
    let mapped = case.connector.map(&case.slice, &case.request, &case.response, case.decoded.clone())?;
    let rows = mapped.transactions.as_ref().map_or(0, |batch| batch.num_rows());
    let facts: usize = mapped.facts.values().map(|batch| batch.num_rows()).sum();
    ensure!(rows + facts > 0, "`{}` maps nothing: {:?}", case.slice.network, mapped.rejects.first());
    if let Some(twin) = &case.twin {
        let native = twin.map(case.inputs(), &case.decoded.batch)?;
        let native_rows = native.transactions.map_or(0, |transactions| transactions.records.len());
        ensure!(
            (rows, mapped.rejects.len()) == (native_rows, native.rejects.len()),
            "`{}` maps {rows} rows in the sandbox and {native_rows} natively: run `just build`",
            case.slice.network
        );
    }
    Ok(())
}

impl Case {
    fn inputs(&self) -> &[String] {
        let stream = self.connector.manifest().stream(&self.slice.stream);
        stream.map_or(&[], |stream| stream.layout.inputs.as_slice())
    }
}

/// The time of the work alone; its result is dropped after it.
fn timed<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<Duration, E> {
    let start = Instant::now();
    let result = black_box(work());
    let time = start.elapsed();
    result.map(|_| time)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
