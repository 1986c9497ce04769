//! Which responses doubts hold back from the tables, and how a doubt is named.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use sluice_lake::{DoubtRow, DoubtState, Lake};
use sluice_model::{Digest, RawObject, Slice, SliceRead};

use crate::failure::Failure;
use crate::meter::{Meter, Unit};

/// The name of a doubt: the same whenever the same run reads the same slice.
pub fn doubt_id(run_id: &str, slice: &Slice) -> String {
    doubt_id_of(run_id, &slice.id())
}

/// The same by the slice's id.
pub fn doubt_id_of(run_id: &str, slice_id: &str) -> String {
    Digest::of(format!("{run_id}\n{slice_id}").as_bytes()).to_hex().chars().take(12).collect()
}

/// Responses that doubts hold back: no table is made of them, unless their doubt is accepted.
#[derive(Debug, Default)]
pub struct WithheldResponses {
    request_ids: HashSet<String>,
    states: HashMap<String, DoubtState>,
}

impl WithheldResponses {
    /// What the doubts of a network, or of all, hold back.
    ///
    /// # Errors
    /// The lake's failure.
    pub async fn of(lake: &Lake, network: Option<&str>) -> Result<Self, Failure> {
        let mut withheld = Self::default();
        for doubt in lake.doubts(network).await? {
            if doubt.state != DoubtState::Accepted {
                withheld.request_ids.extend(requests(&doubt));
            }
            withheld.states.insert(doubt.doubt_id, doubt.state);
        }
        Ok(withheld)
    }

    /// Whether a response is held back.
    pub fn holds(&self, raw: &RawObject) -> bool {
        self.request_ids.contains(&raw.request_id)
    }

    /// Whether a slice was doubted when a run read it, and is accepted.
    pub fn has_accepted(&self, read: &SliceRead) -> bool {
        self.states.get(&doubt_id(&read.run_id, &read.slice)) == Some(&DoubtState::Accepted)
    }

    /// The responses that aren't held back. The meter expects all of them, and counts the others as done.
    pub fn counted_without<'a>(
        &self,
        meter: &Arc<Meter>,
        objects: BoxStream<'a, Result<RawObject, sluice_lake::Error>>,
    ) -> BoxStream<'a, Result<RawObject, sluice_lake::Error>> {
        meter.expect(Unit::Responses, objects.size_hint().1.unwrap_or_default() as u64);
        let (held, meter) = (self.request_ids.clone(), meter.clone());
        let is_left = move |object: &RawObject| {
            let is_held = held.contains(&object.request_id);
            if is_held {
                meter.done(Unit::Responses);
            }
            std::future::ready(!is_held)
        };
        objects.try_filter(is_left).boxed()
    }

    /// The responses that aren't held back.
    pub fn without<'a>(
        &self,
        objects: BoxStream<'a, Result<RawObject, sluice_lake::Error>>,
    ) -> BoxStream<'a, Result<RawObject, sluice_lake::Error>> {
        if self.request_ids.is_empty() {
            return objects;
        }
        let held = self.request_ids.clone();
        objects.try_filter(move |object| std::future::ready(!held.contains(&object.request_id))).boxed()
    }
}

/// The requests whose responses a doubt holds back.
pub(crate) fn requests(doubt: &DoubtRow) -> Vec<String> {
    serde_json::from_str(&doubt.request_ids).unwrap_or_default()
}
