//! Which version of a connector serves.
//!
//! [`Registry`] follows the folder of `.wasm` files; a [`ServingPolicy`] decides what of it may serve. The
//! policy of a service is the [`Policy`]: no more rights than the operator gave, a trial on kept responses, if wanted a
//! shadow beside the running version, and the operator's decisions, all recorded in the state store and the lake.
//!
//! It runs no networks: it depends on `sluice-engine` to load and map, on `sluice-lake` for kept responses and components,
//! on `sluice-state` for decisions, and on `sluice-fetch` only to unpack kept bodies.

mod compare;
mod error;
mod folder;
mod history;
mod policy;
mod rights;
mod settings;
mod shadow;
mod trial;

pub use compare::{Comparison, Pair};
pub use error::Error;
pub use folder::{
    Candidate, Entry, FileChange, FileOutcome, Keys, Reason, Recorded, Registry, Ruling, Serving, ServingPolicy,
    StoredVersion, Watcher,
};
pub use history::{restore, roll_back};
pub use policy::{PlannedReads, Policy, PolicyOptions, TakeGuestSlot, gained};
pub use rights::Rights;
pub use settings::{Promote, SwapMode, SwapSettings};
pub use shadow::Shadow;
pub use trial::TrialReport;
