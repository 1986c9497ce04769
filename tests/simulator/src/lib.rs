//! Affiliate networks on this machine, for end-to-end tests: Awin, CJ, Rakuten, TradeTracker and ShareASale, each in code of
//! its own, and every network whose connector has a facts file, `connectors/<network>/simulated.json`.
//!
//! Each plays its public API as the fact files describe it (`networks/*.json`): paths, credentials, windows, paging,
//! formats, refusals. Transactions are drawn from a seed; a simulated clock makes them appear, change, be decided,
//! corrected and paid. What is delivered at a clock follows from the seed and the clock alone. The simulator knows
//! nothing of the product: it may not depend on any other crate of the house.
//!
//! ```
//! # async fn demo() -> Result<(), sluice_simulator::Error> {
//! use sluice_simulator::{FaultPlan, Options, Simulator};
//!
//! let simulator = Simulator::start(Options { seed: 7, faults: FaultPlan::all(0.2, 2), ..Options::default() }).await?;
//! let awin = simulator.origin("awin"); // http://127.0.0.1:…
//! for account in simulator.accounts() {
//!     println!("{awin} {}/{} {:?}", account.network, account.name, account.settings);
//! }
//! simulator.advance(chrono::TimeDelta::hours(6));
//! let rows = simulator.truth("awin", "alpha");
//! assert!(rows.iter().all(|row| row.currency.is_some()));
//! # Ok(())
//! # }
//! ```
//!
//! Where the facts are silent the simulator chooses, and says so here: windows of Awin and Rakuten hold both their
//! ends; a token for another publisher is a 401; ShareASale's `ledger` has the columns of `activity`, over the days on
//! which a row appeared, was amended or voided; error codes and texts are made up; Rakuten's report calls refuse every
//! token, and its Events API delivers old rows too unless `rakuten_keep_days` is set; TradeTracker's Faults come at 500
//! and at 200.
#![warn(missing_docs)]

mod accounts;
mod awin;
mod bulk;
mod cj;
mod control;
mod core;
mod data;
mod dice;
mod error;
mod exchange;
mod fault;
mod json;
mod money;
mod network;
mod options;
mod rakuten;
mod sale;
mod server;
mod shareasale;
mod simulator;
mod tradetracker;
mod truth;
mod words;
mod zone;

pub use error::Error;
pub use fault::{Fault, FaultPlan};
pub use options::{Account, AccountSpec, Options, Shapes};
pub use simulator::{SeenRequest, Simulator};
pub use truth::{Flags, Kind, TruthRow};
pub use zone::TimeBasis;
