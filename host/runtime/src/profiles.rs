//! Profiles of a network without any: made of the responses that raw holds, so that the first run after an upgrade, or
//! after the state store was lost, is guarded.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use sluice_lake::RawFilter;

use crate::app::{App, Network};
use crate::doubt::Profile;
use crate::failure::Failure;
use crate::tables::{self, Remapped};
use crate::withheld::WithheldResponses;

/// Responses with records that a profile is made of.
const RESPONSES: u64 = 8;
/// Responses of a network that are looked at.
const MOST: usize = 1_000;

/// Makes the profiles of a network from its latest responses, those of `run_id` left out, by the connector that serves.
///
/// # Errors
/// The lake's failure, or the state store's. A response that can't be mapped is left out.
pub async fn seed(app: &Arc<App>, network: &Network, run_id: &str) -> Result<(), Failure> {
    let id = &network.manifest().network;
    let withheld = WithheldResponses::of(&app.lake, Some(id)).await?;
    let filter = RawFilter { network: Some(id.clone()), ..RawFilter::default() };
    let newest = app.lake.raw_objects_newest_first(&filter).await?.take(MOST);
    // So many of each stream and account are mapped; of some there may be no records, so twice as many are tried.
    let mut taken: HashMap<(String, String), u64> = HashMap::new();
    let run_id = run_id.to_owned();
    let wanted = withheld.without(newest.boxed()).try_filter(move |object| {
        let tried = taken.entry((object.slice.account.clone(), object.slice.stream.clone())).or_default();
        let is_wanted = object.run_id != run_id && *tried < 2 * RESPONSES;
        *tried += u64::from(is_wanted);
        std::future::ready(is_wanted)
    });
    let mut profiles: HashMap<(String, String), Profile> = HashMap::new();
    let mut mapped = tables::prepare_all(app, &network.connector, wanted.boxed());
    while let Some(Remapped { raw, outcome, .. }) = mapped.next().await.transpose()? {
        let Ok(answer) = outcome else { continue };
        let profile = profiles.entry((raw.slice.account.clone(), raw.slice.stream.clone())).or_default();
        if answer.seen.records > 0 && profile.responses < RESPONSES {
            profile.add(&answer.seen);
            profile.learn_fact_days(raw.slice.axis, raw.slice.window, &answer.seen);
        }
    }
    tracing::debug!(network = id, profiles = profiles.len(), "profiles are made of what raw holds");
    for ((account, stream), profile) in profiles {
        app.state.keep_profile(id, &account, &stream, &profile.to_json()).await?;
    }
    // Now it is known that there is no more history.
    Ok(app.state.keep_profile(id, "", "", "{}").await?)
}
