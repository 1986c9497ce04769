//! How fast a connector maps the records of its fixtures.

use std::time::{Duration, Instant};

use arrow::array::{Array, RecordBatch, StringArray};
use sluice_engine::{Connector, Decoded};
use sluice_model::Response;

use crate::answer::{Sample, play};
use crate::error::Error;
use crate::fixture::Fixtures;

/// Records of a call that is timed: with few of them the call itself would be what is measured.
const RECORDS: usize = 10_000;
/// How long calls are repeated.
const LASTS: Duration = Duration::from_millis(300);

/// Rows of all kinds that one core maps in a second: of the answer with the most records, which are repeated. None if no answer
/// has records that the host decodes.
///
/// # Errors
/// A fixture that isn't what it should be; the connector's failure.
pub fn rows_per_second(connector: &Connector, fixtures: &Fixtures) -> Result<Option<u64>, Error> {
    let mut samples = Vec::new();
    for case in &fixtures.cases {
        samples.extend(play(connector, fixtures, case)?.1);
    }
    let decoded = |sample| {
        let found = Sample::read(sample, connector);
        Some((sample, found.response, found.decoded?))
    };
    let largest = samples.iter().filter_map(decoded).max_by_key(|(.., decoded)| decoded.batch.rows);
    let Some((sample, response, decoded)) = largest.filter(|(.., decoded)| decoded.batch.rows > 0) else {
        return Ok(None);
    };
    Ok(measure(connector, sample, &response, decoded)?)
}

/// The fastest call counts: others were disturbed.
fn measure(
    connector: &Connector,
    sample: &Sample,
    response: &Response,
    mut decoded: Decoded,
) -> Result<Option<u64>, sluice_engine::Error> {
    let records = decoded.batch.rows;
    for column in &mut decoded.batch.columns {
        let (text, records) = (&column.text, 0..records);
        let cell = |at: usize| text.is_valid(at).then(|| text.value(at));
        column.text = records.cycle().take(RECORDS).map(cell).collect::<StringArray>();
    }
    decoded.batch.rows = RECORDS;
    let response = Response { records: u32::try_from(RECORDS).ok(), ..response.clone() };
    let (started, mut fastest) = (Instant::now(), 0);
    while started.elapsed() < LASTS {
        let again = decoded.clone();
        let call = Instant::now();
        let mapped = connector.map(&sample.slice, &sample.request, &response, again)?;
        let took = call.elapsed().as_nanos().max(1);
        let rows: usize = mapped.transactions.iter().chain(mapped.facts.values()).map(RecordBatch::num_rows).sum();
        fastest = fastest.max(rows as u128 * 1_000_000_000 / took);
    }
    Ok(u64::try_from(fastest).ok().filter(|&fastest| fastest > 0))
}
