//! Rows without an id in responses that come into the tables later than others of their slice.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use sluice_lake::{RawFilter, RunWriter};
use sluice_model::RawObject;

use crate::app::{App, Network};
use crate::failure::Failure;
use crate::meter::Unit;
use crate::tables::{self, Remapped};
use crate::withheld::WithheldResponses;

/// Numbers the rows without an id of a run's responses that are in the tables, and in a slice of which further ones
/// (`is_further`) are about to come: equal rows of these continue their numbers, and none is taken for one that is there.
///
/// # Errors
/// The lake's failure.
pub async fn number_others(
    app: &Arc<App>,
    network: &Network,
    filter: &RawFilter,
    is_further: impl Fn(&RawObject) -> bool + Send,
    tables: &RunWriter,
) -> Result<(), Failure> {
    let withheld = WithheldResponses::of(&app.lake, filter.network.as_deref()).await?;
    let (mut slices, mut others) = (HashSet::new(), Vec::new());
    let mut objects = app.lake.raw_objects(filter).await?;
    while let Some(object) = objects.try_next().await? {
        if is_further(&object) {
            slices.insert(object.slice.id());
        } else if !withheld.holds(&object) {
            others.push((object.slice.id(), object.request_id));
        }
    }
    let others: HashSet<String> =
        others.into_iter().filter(|(slice, _)| slices.contains(slice)).map(|(_, request_id)| request_id).collect();
    if others.is_empty() {
        return Ok(());
    }
    app.meter.expect(Unit::Responses, others.len() as u64);
    let objects = app.lake.raw_objects(filter).await?;
    let objects = objects.try_filter(move |object| std::future::ready(others.contains(&object.request_id)));
    let mut mapped = tables::prepare_all(app, &network.connector, objects.boxed());
    while let Some(Remapped { outcome, memory, .. }) = mapped.next().await.transpose()? {
        // What can't be mapped has no rows in the tables.
        if let Ok(answer) = outcome {
            tables.number(answer.prepared, Box::new(memory));
        }
    }
    Ok(())
}
