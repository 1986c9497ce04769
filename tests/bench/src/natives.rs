//! Connectors as plain Rust: the same mapping code, called without a sandbox.

use std::marker::PhantomData;

use anyhow::{Context, anyhow};
use arrow::array::Array;
use bytes::Bytes;
use sluice_connector::{
    Body, Connector, Mapped, Output, Records, Refusal, Request, Response, Slice, TextColumn, Window,
};
use sluice_model::NativeBatch;

/// A connector's mapping, ready to be called natively.
pub(crate) trait Twin {
    /// Copies the inputs' columns, as the host does into the guest, and maps them into the contract's columns.
    fn map(&self, inputs: &[String], native: &NativeBatch) -> anyhow::Result<Mapped>;
}

/// The native twin of a network's connector, if it's linked here.
pub(crate) fn twin(slice: &sluice_model::Slice, body: Bytes, rows: u32) -> anyhow::Result<Option<Box<dyn Twin>>> {
    Ok(Some(match slice.network.as_str() {
        "awin" => Prepared::<connector_awin::Awin>::boxed(slice, body, rows)?,
        "cj" => Prepared::<connector_cj::Cj>::boxed(slice, body, rows)?,
        "rakuten" => Prepared::<connector_rakuten::Rakuten>::boxed(slice, body, rows)?,
        "shareasale" => Prepared::<connector_shareasale::ShareASale>::boxed(slice, body, rows)?,
        "tradetracker" => Prepared::<connector_tradetracker::Tradetracker>::boxed(slice, body, rows)?,
        _ => return Ok(None),
    }))
}

struct Prepared<C> {
    slice: Slice,
    request: Request,
    body: Bytes,
    rows: u32,
    connector: PhantomData<C>,
}

impl<C: Connector + 'static> Prepared<C> {
    fn boxed(slice: &sluice_model::Slice, body: Bytes, rows: u32) -> anyhow::Result<Box<dyn Twin>> {
        let slice = contract_slice(slice);
        let request = C::plan(&slice).map_err(refused)?.into_iter().next().context("it plans no request")?;
        Ok(Box::new(Self { slice, request, body, rows, connector: PhantomData }))
    }
}

impl<C: Connector> Twin for Prepared<C> {
    fn map(&self, inputs: &[String], native: &NativeBatch) -> anyhow::Result<Mapped> {
        let look_up = |place: &str| sluice_decode::value_at(&self.body, place);
        let response = Response::new(200, &[], Some(self.rows), Body::Bytes(&self.body, &look_up));
        let records = Records::new(columns(inputs, native)).map_err(refused)?;
        let mut out = Output::with_capacity(records.len());
        C::map(&self.slice, &self.request, &response, &records, &mut out).map_err(refused)?;
        Ok(out.into_mapped())
    }
}

fn refused(refusal: Refusal) -> anyhow::Error {
    anyhow!("the connector refuses: {}", refusal.text)
}

fn contract_slice(slice: &sluice_model::Slice) -> Slice {
    let (local_since, local_until) = slice.local_window();
    Slice {
        stream: slice.stream.clone(),
        account: slice.account.clone(),
        settings: slice.settings.clone(),
        window: Window {
            since: slice.window.since.timestamp_micros(),
            until: slice.window.until.timestamp_micros(),
            local_since: local_since.and_utc().timestamp_micros(),
            local_until: local_until.and_utc().timestamp_micros(),
        },
        axis: slice.axis.name().to_owned(),
        cursor: None,
    }
}

fn columns(paths: &[String], native: &NativeBatch) -> Vec<TextColumn> {
    let column = |path: &String| match native.column(path) {
        Some(column) => TextColumn {
            offsets: column.text.value_offsets().iter().map(|offset| offset.cast_unsigned()).collect(),
            bytes: column.text.value_data().to_vec(),
            valid: match column.text.nulls().filter(|nulls| nulls.null_count() > 0) {
                Some(nulls) => nulls.validity()[..native.rows.div_ceil(8)].to_vec(),
                None => Vec::new(),
            },
        },
        None => {
            TextColumn { offsets: vec![0; native.rows + 1], bytes: Vec::new(), valid: vec![0; native.rows.div_ceil(8)] }
        }
    };
    paths.iter().map(column).collect()
}
