//! What holds of rows: ids, status words, dates, and records in whatever company they come.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, StringArray};
use serde_json::Value;
use sluice_engine::{Connector, Decoded};
use sluice_model::{Fact, Format, IdBasis, Mapped, NativeColumn, Response};

use crate::answer::Sample;
use crate::report::Finding;
use crate::rows::{all_rows, batch_rows};

/// What networks write where there is no date.
const NO_DATES: [&str; 5] = ["0000-00-00", "0000-00-00 00:00:00", "1970-01-01", "0001-01-01", "0001-01-01T00:00:00"];
/// A word that no network has.
const UNKNOWN_WORD: &str = "no such word";
/// The case that may hold what no document allows.
const ODD_ROWS: &str = "odd-rows";
/// The case whose dates and words are changed.
const NORMAL: &str = "normal";

/// An answer with records, decoded and mapped.
struct MappedSample<'a> {
    sample: &'a Sample,
    response: Response,
    decoded: Decoded,
    mapped: Mapped,
    rows: Vec<Value>,
}

impl<'a> MappedSample<'a> {
    fn of(connector: &Connector, sample: &'a Sample) -> Option<Self> {
        let found = sample.decode(connector);
        let (response, decoded) = (found.response, found.decoded?);
        let mapped = connector.map(&sample.slice, &sample.request, &response, decoded.clone()).ok()?;
        let rows = mapped.transactions.as_ref().map(batch_rows).unwrap_or_default();
        (decoded.batch.rows > 0).then_some(Self { sample, response, decoded, mapped, rows })
    }

    /// What other records in place of its own are mapped to.
    fn map(&self, connector: &Connector, decoded: Decoded) -> Result<Mapped, String> {
        let Sample { slice, request, .. } = self.sample;
        let response = Response { records: u32::try_from(decoded.records()).ok(), ..self.response.clone() };
        connector.map(slice, request, &response, decoded).map_err(|error| error.to_string())
    }

    /// The same with columns changed.
    fn with(&self, connector: &Connector, change: impl Fn(&mut NativeColumn)) -> Result<Vec<Value>, String> {
        let mut decoded = self.decoded.clone();
        decoded.batch.columns.iter_mut().for_each(change);
        let mapped = self.map(connector, decoded)?;
        Ok(mapped.transactions.as_ref().map(batch_rows).unwrap_or_default())
    }

    fn inputs(&self, connector: &Connector) -> Vec<String> {
        let stream = connector.manifest().stream(&self.sample.slice.stream);
        stream.map(|stream| stream.layout.inputs.clone()).unwrap_or_default()
    }
}

/// Checks all answers that have records.
pub(super) fn check(connector: &Connector, samples: &[Sample]) -> Vec<Finding> {
    let mapped: Vec<_> = samples.iter().filter_map(|sample| MappedSample::of(connector, sample)).collect();
    let mut findings = Vec::new();
    for sample in &mapped {
        let case = &sample.sample.case;
        let mut add = |check, wrong: Option<String>| {
            findings.extend(wrong.map(|text| Finding::new(check, case.clone(), text)));
        };
        add("order", order(connector, sample));
        if case != ODD_ROWS {
            add("ids", ids(sample));
        }
        if case == NORMAL {
            add("statuses", statuses(connector, sample));
            add("dates", dates(connector, sample));
        }
    }
    findings.extend(inputs(connector, &mapped));
    findings
}

fn ids(sample: &MappedSample<'_>) -> Option<String> {
    let transactions = sample.mapped.transactions.iter().map(|batch| (Fact::Transactions, batch));
    let kinds = transactions.chain(sample.mapped.facts.iter().map(|(fact, batch)| (*fact, batch)));
    let mut twice = Vec::new();
    for (fact, batch) in kinds {
        let rows = batch_rows(batch);
        let mut seen = BTreeSet::new();
        let ids = rows.iter().filter_map(|row| row[fact.id()].as_str());
        twice.extend(ids.filter(|id| !seen.insert(*id)).map(str::to_owned));
    }
    (!twice.is_empty()).then(|| format!("these are of several rows: {}", twice.join(", ")))
}

/// The first half and the rest of the records, the rest first, as if they came on two pages.
fn order(connector: &Connector, sample: &MappedSample<'_>) -> Option<String> {
    let total = sample.decoded.batch.rows;
    let by_hash = |row: &Value| row["id_basis"] == IdBasis::RowHash.name();
    // A row without an id is counted among its likes in an answer.
    if total < 2 || sample.rows.iter().any(by_hash) || sample.decoded.torn.total > 0 {
        return None;
    }
    let middle = total / 2;
    let mut parts = Vec::new();
    for (from, length) in [(middle, total - middle), (0, middle)] {
        let mut decoded = sample.decoded.clone();
        decoded.batch.rows = length;
        decoded.batch.columns.iter_mut().for_each(|column| column.text = column.text.slice(from, length));
        match sample.map(connector, decoded) {
            Ok(mapped) => {
                let rejects = mapped.rejects.iter().map(|reject| Value::from(reject.reason.as_str()));
                parts.extend(all_rows(&mapped));
                parts.extend(rejects);
            }
            Err(error) => return Some(format!("records {from} to {} alone: {error}", from + length - 1)),
        }
    }
    let rejects = sample.mapped.rejects.iter().map(|reject| Value::from(reject.reason.as_str()));
    let whole = without_places(all_rows(&sample.mapped).into_iter().chain(rejects));
    let parts = without_places(parts.into_iter());
    let missing = whole.iter().find(|row| !parts.contains(row))?;
    Some(format!("in two answers this row is another one: {missing}"))
}

/// Rows without their record's place in the answer.
fn without_places(rows: impl Iterator<Item = Value>) -> Vec<Value> {
    rows.map(|mut row| {
        if let Some(fields) = row.as_object_mut() {
            fields.remove("record_index");
        }
        row
    })
    .collect()
}

/// A word in the fields that the status comes from which no network has.
fn statuses(connector: &Connector, sample: &MappedSample<'_>) -> Option<String> {
    if connector.manifest().statuses.is_empty() {
        return None;
    }
    let records: BTreeMap<usize, &str> = sample
        .rows
        .iter()
        .filter_map(|row| Some((row["record_index"].as_str()?.parse().ok()?, row["status_raw"].as_str()?)))
        .collect();
    let is_status = |column: &NativeColumn| {
        !records.is_empty()
            && records.iter().all(|(record, word)| {
                *record < column.text.len() && column.text.is_valid(*record) && column.text.value(*record) == *word
            })
    };
    let inputs = sample.inputs(connector);
    let mut fields =
        sample.decoded.batch.columns.iter().filter(|column| inputs.contains(&column.path) && is_status(column));
    let field = fields.next()?.path.clone();
    let change = |column: &mut NativeColumn| {
        if column.path == field {
            column.text = column.text.iter().map(|text| text.map(|_| UNKNOWN_WORD)).collect();
        }
    };
    let mut decoded = sample.decoded.clone();
    decoded.batch.columns.iter_mut().for_each(change);
    let mapped = match sample.map(connector, decoded) {
        Ok(mapped) => mapped,
        Err(error) => return Some(format!("`{field}` is `{UNKNOWN_WORD}`: {error}")),
    };
    let rows = mapped.transactions.as_ref().map(batch_rows).unwrap_or_default();
    let known = rows.iter().find(|row| row["validation_status"] != "unknown");
    if let Some(row) = known {
        return Some(format!("`{field}` is `{UNKNOWN_WORD}`, and the row is {}", row["validation_status"]));
    }
    let is_lost = rows.len() < sample.rows.len();
    is_lost.then(|| format!("`{field}` is `{UNKNOWN_WORD}`: {} rows instead of {}", rows.len(), sample.rows.len()))
}

/// A field that a time is mapped from gives no time if it says none.
fn dates(connector: &Connector, sample: &MappedSample<'_>) -> Option<String> {
    let stream = connector.manifest().stream(&sample.sample.slice.stream)?;
    let whole = times(&sample.rows);
    for path in &stream.layout.inputs {
        let column = sample.decoded.batch.column(path)?;
        // A date that is a part of an id is no less a text there.
        if stream.layout.key.contains(path) || !column.text.iter().flatten().any(is_date) {
            continue;
        }
        let with = |value: Option<&str>| {
            let change = |column: &mut NativeColumn| {
                if column.path == *path {
                    column.text = column.text.iter().map(|text| text.and(value)).collect::<StringArray>();
                }
            };
            sample.with(connector, change).map(|rows| times(&rows))
        };
        let without = match with(None) {
            Ok(without) if without != whole => without,
            _ => continue,
        };
        for none in NO_DATES {
            if with(Some(none)).as_ref() != Ok(&without) {
                return Some(format!("`{path}` is {none}, and that is not as if it were missing"));
            }
        }
    }
    None
}

/// `2026-01-10`, `01/10/2026`, `09:30:00 AM`.
fn is_date(text: &str) -> bool {
    let is_separated = ["-", "/", ":"].iter().any(|mark| text.matches(mark).count() == 2);
    text.starts_with(|c: char| c.is_ascii_digit()) && is_separated
}

/// The times of each row by its id.
fn times(rows: &[Value]) -> Vec<Value> {
    let is_time = |name: &str| name.ends_with("_at") || name == "transaction_id" || name == "transaction_day";
    let kept = |row: &Value| {
        let fields = row.as_object().into_iter().flatten().filter(|(name, _)| is_time(name));
        Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
    };
    rows.iter().map(kept).collect()
}

/// Fields that mapping reads and no answer of any fixture fills: nobody has seen that their paths are right.
fn inputs(connector: &Connector, samples: &[MappedSample<'_>]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for stream in &connector.manifest().streams {
        let of_stream: Vec<_> = samples.iter().filter(|sample| sample.sample.slice.stream == stream.name).collect();
        let is_filled = |path: &&String| {
            of_stream.iter().any(|sample| {
                let column = sample.decoded.batch.column(path);
                column.is_some_and(|column| column.text.iter().flatten().any(|text| !text.is_empty()))
            })
        };
        // Columns that not every account has.
        let optional = match &stream.layout.format {
            Format::Delimited(form) => form.optional.as_slice(),
            _ => &[],
        };
        // `column_27` is a field beyond the header: there is one where a row is torn.
        let is_beyond = |path: &&String| path.strip_prefix("column_").is_some_and(|place| place.parse::<u32>().is_ok());
        let inputs = stream.layout.inputs.iter();
        let required = inputs.filter(|path| !optional.contains(path) && !is_beyond(path));
        let empty: Vec<&str> = required.filter(|path| !is_filled(path)).map(String::as_str).collect();
        if !of_stream.is_empty() && !empty.is_empty() {
            let text = format!("no fixture fills {}", empty.join(", "));
            findings.push(Finding::new("inputs", stream.name.clone(), text));
        }
    }
    findings
}
