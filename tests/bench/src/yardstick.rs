//! The yardsticks: native pipelines without sandbox that fetch the same, keep raw and write Parquet.
//!
//! `native` writes one table. It does what it must and nothing else: no plan, no judging, no secrets, no unified rows, no
//! versions, no lineage, no transactions. `native-three` has the three outputs of Sluice: the second table is that of
//! unified versions, with keys, content hashes and lineage, as a first read gives them. Both are built to be fast: one
//! connection per task, buffers used again, rows borrowed from the body. Compression is the lake's, for raw and for Parquet.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, ensure};
use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use tokio::sync::mpsc;

use crate::http::Client;
use crate::network::{Address, Work};
use crate::row::{self, Origin, Row};

/// Requests in flight: as many as the run has.
pub(crate) const CONCURRENCY: usize = 16;
/// As many as the run has on two cores.
const THREADS: usize = 2;
/// The lake's for raw bodies.
const ZSTD_LEVEL: i32 = 1;
/// Tables that wait for the writer.
const BATCHES_AT_ONCE: usize = 8;
const TOKEN: &str = "BENCH_TOKEN";

/// What a yardstick writes beside raw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// One table of all fields.
    Native,
    /// That, and the unified versions.
    NativeThree,
}

impl Outputs {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::NativeThree => "native-three",
        }
    }
}

/// The command that runs the yardstick.
pub(crate) fn command(outputs: Outputs, work: Work, address: &Address, dir: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("yardstick").arg(outputs.name()).arg(&address.origin).arg(dir);
    command.args([work.accounts, work.windows].map(|count| count.to_string()));
    command.env(TOKEN, &address.token);
    Ok(command)
}

/// Fetches, keeps and writes all; prints how many rows.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [outputs, origin, dir, accounts, windows] = arguments else {
        anyhow::bail!("yardstick native|native-three ORIGIN DIR ACCOUNTS WINDOWS")
    };
    let work = Work { accounts: accounts.parse()?, windows: windows.parse()? };
    let dir = PathBuf::from(dir);
    let raw = dir.join("raw");
    std::fs::create_dir_all(&raw)?;
    let (batches, table) = writer(dir.join("transactions.parquet"));
    let (versions, unified) = if outputs == Outputs::NativeThree.name() {
        Some(writer(dir.join("versions.parquet"))).unzip()
    } else {
        (None, None)
    };
    let fetch = Arc::new(Fetch {
        origin: origin.clone(),
        authorization: format!("Bearer {}", std::env::var(TOKEN)?),
        targets: work.targets(),
        next: AtomicUsize::new(0),
        raw,
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    runtime.block_on(async {
        let all = |_| tokio::spawn(fetch.clone().all(batches.clone(), versions.clone()));
        let tasks: Vec<_> = (0..CONCURRENCY).map(all).collect();
        for task in tasks {
            task.await??;
        }
        anyhow::Ok(())
    })?;
    drop((batches, versions));
    let mut rows = Vec::new();
    for writer in std::iter::once(table).chain(unified) {
        rows.push(writer.join().map_err(|_| anyhow::anyhow!("a writer panicked"))??);
    }
    ensure!(rows.windows(2).all(|pair| pair[0] == pair[1]), "tables of {rows:?} rows");
    println!("{}", rows[0]);
    Ok(())
}

/// What all tasks share.
struct Fetch {
    origin: String,
    authorization: String,
    targets: Vec<String>,
    next: AtomicUsize,
    raw: PathBuf,
}

impl Fetch {
    /// One request after the other on one connection, until there are no more.
    async fn all(
        self: Arc<Self>,
        batches: mpsc::Sender<RecordBatch>,
        versions: Option<mpsc::Sender<RecordBatch>>,
    ) -> anyhow::Result<()> {
        let mut client = Client::connect(&self.origin).await?;
        let mut packer = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        let mut body = Vec::new();
        loop {
            let request = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(target) = self.targets.get(request) else { return Ok(()) };
            let status = client.get(target, &self.authorization, &mut body).await?;
            ensure!(status == 200, "{target} is answered with {status}");
            let digest = blake3::hash(&body).to_hex();
            std::fs::write(self.raw.join(format!("{digest}.zst")), packer.compress(&body)?)?;
            let rows: Vec<Row<'_>> = serde_json::from_slice(&body).context("no rows")?;
            let batch = row::batch(&rows)?;
            let unified = match &versions {
                Some(_) => Some(row::versions(&rows, &origin(target, request, &digest))?),
                None => None,
            };
            drop(rows);
            batches.send(batch).await.context("the writer has stopped")?;
            if let (Some(versions), Some(unified)) = (&versions, unified) {
                versions.send(unified).await.context("the writer has stopped")?;
            }
        }
    }
}

fn origin(target: &str, request: usize, digest: &str) -> Origin {
    Origin {
        account: target.split('/').nth(2).unwrap_or_default().to_owned(),
        request: format!("{request:032x}"),
        body: digest.to_owned(),
        observed_at: chrono::Utc::now().timestamp_micros(),
    }
}

/// A thread that writes what it is sent, and gives the number of rows.
fn writer(path: PathBuf) -> (mpsc::Sender<RecordBatch>, JoinHandle<anyhow::Result<usize>>) {
    let (batches, received) = mpsc::channel(BATCHES_AT_ONCE);
    (batches, std::thread::spawn(move || write(&path, received)))
}

fn write(path: &Path, mut batches: mpsc::Receiver<RecordBatch>) -> anyhow::Result<usize> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let first = batches.blocking_recv().context("nothing came")?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, first.schema(), Some(properties))?;
    let mut rows = 0;
    let mut next = Some(first);
    while let Some(batch) = next {
        rows += batch.num_rows();
        writer.write(&batch)?;
        next = batches.blocking_recv();
    }
    writer.close()?;
    Ok(rows)
}
