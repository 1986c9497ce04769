//! A lake with a history of years, written by the lake's own ledger from made-up responses.
//!
//! Transactions are numbered from the newest backwards, so many a day that the window of 45 days holds exactly what
//! is read again. Every fifth of the newer ones has a second version. Other numbers are drawn from a transaction's own
//! by a hash: the same history every time.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::Context;
use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt32Array,
    new_null_array,
};
use chrono::{DateTime, TimeDelta, Utc};
use sluice_lake::{ConnectorRef, Counts, Lake, Ledger, Upkeep};
use sluice_model::{
    Axis, BodyFindings, Digest, Format, Kinds, Layout, Mapped, NativeBatch, NativeColumn, RawObject, Request,
    SentRequest, Slice, mapped_transactions_schema,
};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::process::{Usage, own_cpu_secs};

/// Days that are read again.
const WINDOW_DAYS: u64 = 45;
/// Records of a response.
const RECORDS: u64 = 1_000;
/// One in so many has a second version.
const CHANGED: u64 = 5;
/// One in so many of the window changes when it is read with changes: so every file holds one that does.
pub(crate) const SCATTERED: u64 = 500;
/// 2025-12-31, the newest day, in days since 1970.
const NEWEST_DAY: i64 = 20_453;

/// Responses whose rows are made at once, before the ledger gets them.
const AT_ONCE: usize = 64;
/// How many ledgers write at once.
const LANES: usize = 2;

/// A lake that grows backwards in time.
pub(crate) struct History {
    pub(crate) lake: Lake,
    /// Transactions of the window.
    pub(crate) window: u64,
    /// From this number on, none has a second version.
    settled: u64,
    /// Transactions that it grew by.
    grown: u64,
    /// Transactions that came with reading the window again.
    new: u64,
    readings: i32,
    /// How often the scattered transactions have changed.
    changes: u64,
    _dir: TempDir,
}

/// Which content a transaction is read with.
#[derive(Clone, Copy, PartialEq)]
enum Content {
    First,
    Latest,
}

/// One pass over some of the transactions.
#[derive(Clone)]
struct Reading {
    /// Later readings have greater numbers.
    number: i32,
    window: u64,
    transactions: Vec<Range<u64>>,
    /// Every how many of them is read.
    step: u64,
    /// How many that weren't there before come with them.
    new: u64,
    /// How often the scattered transactions have changed.
    changes: u64,
    content: Content,
}

impl History {
    /// An empty lake, into whose window this many transactions will go. What is older than `settled` has one version.
    pub(crate) async fn new(window: u64, settled: u64) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sluice-bench-history-").tempdir()?;
        let lake = Lake::open_writable(dir.path().join("lake").to_str().context("no path")?).await?;
        Ok(Self { lake, window, settled, grown: 0, new: 0, readings: 0, changes: 0, _dir: dir })
    }

    /// Transactions that it holds.
    pub(crate) fn transactions(&self) -> u64 {
        self.grown + self.new
    }

    /// Versions that it holds.
    pub(crate) fn versions(&self) -> u64 {
        let scattered = self.changes * self.window.div_ceil(SCATTERED);
        self.transactions() + self.grown.min(self.settled).div_ceil(CHANGED) + scattered
    }

    /// Adds what is older until it has grown to so many transactions, and looks after the lake as the service would.
    pub(crate) async fn grow(&mut self, transactions: u64) -> anyhow::Result<()> {
        while self.grown < transactions {
            // Upkeep now and then: a ledger asks each file of other months whether it knows what comes.
            let until = transactions.min(self.grown + 4 * self.window);
            let until = if self.grown < self.settled { until.min(self.settled) } else { until };
            let spans = spans(self.grown..until, (self.window / 2).max(1));
            self.write(spans).await?;
            self.grown = until;
            self.look_after().await?;
        }
        Ok(())
    }

    /// Writes first and second versions of some spans, a few at once.
    async fn write(&mut self, spans: Vec<Range<u64>>) -> anyhow::Result<()> {
        let spans = Arc::new(Mutex::new(spans));
        let commit = Arc::new(tokio::sync::Mutex::new(()));
        let (window, settled, number) = (self.window, self.settled, self.readings);
        self.readings += 2;
        let mut lanes = JoinSet::new();
        for _ in 0..LANES {
            let (lake, spans, commit) = (self.lake.clone(), spans.clone(), commit.clone());
            let next = move || spans.lock().ok().and_then(|mut spans| spans.pop());
            lanes.spawn(async move {
                while let Some(span) = next() {
                    let mut ledger = lake.ledger();
                    let first = Reading {
                        number,
                        window,
                        transactions: spans_of_responses(&span),
                        step: 1,
                        new: 0,
                        changes: 0,
                        content: Content::First,
                    };
                    let second =
                        Reading { number: number + 1, step: CHANGED, content: Content::Latest, ..first.clone() };
                    first.give_to(&mut ledger).await?;
                    if span.end <= settled {
                        second.give_to(&mut ledger).await?;
                    }
                    // The latest state follows with one of them at a time.
                    let _turn = commit.lock().await;
                    ledger.commit().await?;
                }
                anyhow::Ok(())
            });
        }
        while let Some(lane) = lanes.join_next().await {
            lane??;
        }
        Ok(())
    }

    async fn look_after(&self) -> anyhow::Result<()> {
        // Nobody else reads this lake: what is no longer named can go.
        let (upkeep, now) = (Upkeep { keep: TimeDelta::zero(), ..Upkeep::default() }, Utc::now() + TimeDelta::hours(1));
        let mut tables = JoinSet::new();
        for table in self.lake.tables().await? {
            let (lake, upkeep) = (self.lake.clone(), upkeep.clone());
            tables.spawn(async move { lake.maintain(&table, &upkeep, now).await });
        }
        while let Some(table) = tables.join_next().await {
            table??;
        }
        Ok(())
    }

    /// Reads the window again, with another commission of the scattered transactions.
    pub(crate) async fn read_changes(&mut self) -> anyhow::Result<(Counts, Usage)> {
        self.changes += 1;
        self.read_window_again(0).await
    }

    /// Reads the window again, with so many transactions that weren't there before.
    pub(crate) async fn read_window_again(&mut self, new: u64) -> anyhow::Result<(Counts, Usage)> {
        let reading = Reading {
            number: self.readings,
            window: self.window,
            transactions: spans_of_responses(&(0..self.window)),
            step: 1,
            new,
            changes: self.changes,
            content: Content::Latest,
        };
        self.readings += 1;
        self.new += new;
        let mut ledger = self.lake.ledger();
        let mut usage = reading.give_to(&mut ledger).await?;
        let (cpu, wall) = (own_cpu_secs()?, Instant::now());
        let counts = ledger.commit().await?;
        usage.cpu_secs += own_cpu_secs()? - cpu;
        usage.wall_secs += wall.elapsed().as_secs_f64();
        Ok((counts, usage))
    }
}

/// A range in pieces.
fn spans(range: Range<u64>, most: u64) -> Vec<Range<u64>> {
    range.clone().step_by(most as usize).map(|start| start..range.end.min(start + most)).collect()
}

fn spans_of_responses(range: &Range<u64>) -> Vec<Range<u64>> {
    spans(range.clone(), RECORDS)
}

impl Reading {
    /// Gives all to a ledger, and says what it used up; making the rows isn't counted.
    async fn give_to(self, ledger: &mut Ledger) -> anyhow::Result<Usage> {
        let mut usage = Usage::default();
        let responses: Vec<usize> = (0..self.transactions.len()).collect();
        for some in responses.chunks(AT_ONCE) {
            let made = some.iter().map(|at| Ok((self.origin(*at), self.mapped(*at)?)));
            let made = made.collect::<anyhow::Result<Vec<_>>>()?;
            let (cpu, wall) = (own_cpu_secs()?, Instant::now());
            for (origin, mapped) in made {
                ledger.add(origin, &layout(), &connector(), mapped).await?;
            }
            usage.cpu_secs += own_cpu_secs()? - cpu;
            usage.wall_secs += wall.elapsed().as_secs_f64();
        }
        Ok(usage)
    }

    fn mapped(&self, at: usize) -> anyhow::Result<Mapped> {
        let (at, all) = (at as u64, self.transactions.len() as u64);
        let span = self.transactions[at as usize].clone();
        let read = span.clone().filter(|n| n % self.step == 0);
        let mut ids: Vec<(String, u64)> = read.map(|n| (format!("T{n:010}"), n)).collect();
        // Spread over the window like everything else.
        let new = self.new * at / all..self.new * (at + 1) / all;
        ids.extend(new.map(|n| (format!("N{:04}{n:08}", self.number), span.start)));
        let rows: Vec<Row> = ids.iter().map(|(id, n)| Row::of(id, *n, self)).collect();
        Ok(Mapped {
            native: native(&rows),
            transactions: Some(transactions(&rows)?),
            facts: std::collections::BTreeMap::new(),
            rejects: Vec::new(),
            unknown_statuses: Vec::new(),
            total: None,
            findings: BodyFindings::default(),
        })
    }

    fn origin(&self, at: usize) -> Arc<RawObject> {
        let newest = DateTime::from_timestamp(NEWEST_DAY * 86_400, 0).unwrap_or_default();
        let first = self.transactions[at].start;
        let received_at = newest + TimeDelta::hours(self.number.into()) + TimeDelta::microseconds(first as i64);
        let run = format!("reading-{}", self.number);
        let request_id = format!("{run}-{first}");
        Arc::new(RawObject {
            run_id: run,
            body: Digest::of(request_id.as_bytes()),
            request_id,
            slice: Slice {
                network: "bench".to_owned(),
                account: "a".to_owned(),
                stream: "transactions".to_owned(),
                settings: Vec::new(),
                window: sluice_model::Window { since: newest - TimeDelta::days(45), until: newest },
                timezone: chrono_tz::UTC,
                axis: Axis::Transaction,
                cursor: None,
            },
            request: Request::get(format!("from-{first}")),
            sent: SentRequest { method: "GET".to_owned(), url: String::new(), headers: Vec::new(), body: None },
            attempt: 1,
            sent_at: received_at,
            received_at,
            status: 200,
            headers: Vec::new(),
            body_bytes: 1,
            masked: false,
            outcome: "answered".to_owned(),
            connector_version: "1.0.0".to_owned(),
            connector_digest: Digest::of(b"bench"),
        })
    }
}

/// What there is to say of a transaction.
struct Row<'a> {
    id: &'a str,
    day: i64,
    second: i64,
    advertiser: u64,
    sale: i128,
    commission: i128,
    status: &'static str,
    currency: &'static str,
}

impl<'a> Row<'a> {
    fn of(id: &'a str, n: u64, reading: &Reading) -> Self {
        let Reading { window, content, changes, .. } = *reading;
        let dice = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xD1B5_4A32_D192_ED03);
        let sale = i128::from(dice % 50_000) * 10_000 + 5_000_000;
        let changed = content == Content::Latest && n.is_multiple_of(CHANGED);
        // Those that came with a reading have the number of another, and an id of their own.
        let is_scattered = n.is_multiple_of(SCATTERED) && id.starts_with('T');
        Self {
            id,
            day: NEWEST_DAY - (n / (window / WINDOW_DAYS).max(1)) as i64,
            second: (dice >> 16) as i64 & 0xFFFF,
            advertiser: dice % 400,
            sale,
            commission: sale / 20 + i128::from(changed) + i128::from(if is_scattered { changes } else { 0 }),
            status: ["pending", "approved", "declined"][if changed { 1 } else { (dice % 3) as usize }],
            currency: ["EUR", "GBP", "USD"][(dice % 7 % 3) as usize],
        }
    }

    fn transacted_at(&self) -> i64 {
        (self.day * 86_400 + self.second) * 1_000_000
    }
}

fn native(rows: &[Row<'_>]) -> NativeBatch {
    let column = |path: &str, kind: Kinds, text: &dyn Fn(&Row<'_>) -> String| {
        let mut kinds = Kinds::default();
        kinds.insert(kind);
        NativeColumn { path: path.to_owned(), text: StringArray::from_iter_values(rows.iter().map(text)), kinds }
    };
    NativeBatch {
        rows: rows.len(),
        columns: vec![
            column("id", Kinds::TEXT, &|row| row.id.to_owned()),
            column("advertiserId", Kinds::INTEGER, &|row| row.advertiser.to_string()),
            column("saleAmount.amount", Kinds::FLOAT, &|row| {
                format!("{}.{:06}", row.sale / 1_000_000, row.sale % 1_000_000)
            }),
            column("commissionAmount.amount", Kinds::INTEGER, &|row| row.commission.to_string()),
            column("commissionAmount.currency", Kinds::TEXT, &|row| row.currency.to_owned()),
            column("commissionStatus", Kinds::TEXT, &|row| row.status.to_owned()),
            column("url", Kinds::TEXT, &|row| format!("https://www.example.com/product/{}", row.advertiser * 31)),
        ],
    }
}

fn transactions(rows: &[Row<'_>]) -> anyhow::Result<RecordBatch> {
    let schema = mapped_transactions_schema();
    let constant = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows.len()])) };
    let texts = |text: &dyn Fn(&Row<'_>) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    };
    let money = |amount: &dyn Fn(&Row<'_>) -> i128| -> anyhow::Result<ArrayRef> {
        let amounts = Decimal128Array::from_iter_values(rows.iter().map(amount));
        Ok(Arc::new(amounts.with_precision_and_scale(18, 6)?))
    };
    let columns = schema.fields().iter().map(|field| -> anyhow::Result<ArrayRef> {
        Ok(match field.name().as_str() {
            "record_index" => Arc::new(UInt32Array::from_iter_values(0..rows.len() as u32)),
            "transaction_id" => texts(&|row| row.id.to_owned()),
            "transacted_at" => {
                let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(Row::transacted_at));
                Arc::new(times.with_timezone("UTC"))
            }
            "transaction_day" => Arc::new(Date32Array::from_iter_values(rows.iter().map(|row| row.day as i32))),
            "sale_amount" => money(&|row| row.sale)?,
            "commission_amount" => money(&|row| row.commission)?,
            "commission_effective" => money(&|row| if row.status == "declined" { 0 } else { row.commission })?,
            "sale_currency" | "commission_currency" => texts(&|row| row.currency.to_owned()),
            "advertiser_id" => texts(&|row| row.advertiser.to_string()),
            "advertiser_name" => texts(&|row| format!("Advertiser {}", row.advertiser)),
            "validation_status" | "status_raw" => texts(&|row| row.status.to_owned()),
            "click_id" => texts(&|row| format!("click-{:x}", row.sale)),
            "id_basis" => constant("native"),
            "kind" => constant("sale"),
            "time_basis" => constant("instant"),
            "network_timezone" => constant("UTC"),
            "timezone_basis" => constant("declared"),
            "payment_status" => constant("unknown"),
            _ => new_null_array(field.data_type(), rows.len()),
        })
    });
    let columns = columns.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn layout() -> Layout {
    Layout { format: Format::Json(String::new()), pins: Vec::new(), inputs: Vec::new(), key: vec!["id".to_owned()] }
}

fn connector() -> ConnectorRef {
    ConnectorRef { name: "bench".to_owned(), version: "1.0.0".to_owned(), digest: Digest::of(b"bench") }
}
