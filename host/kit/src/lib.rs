//! The kit of connector authors.
//!
//! What `sluice new`, `test`, `fuzz`, `dev`, `record` and `connectors inspect` do, without their arguments and their output, so that the
//! commands and the tests of this repository run the same code. It plays the fixtures of a connector's folder through
//! `sluice-engine`, as a host does, and checks what holds of every connector whatever its network is.
//!
//! It depends on `sluice-model` and `sluice-engine` alone, sends no requests and keeps no state.
//!
//! ```no_run
//! use std::path::Path;
//! use sluice_engine::{Engine, EngineOptions};
//! use sluice_kit::{Bless, Fixtures, test};
//!
//! let engine = Engine::new(EngineOptions::default())?;
//! let connector = engine.load(&std::fs::read("brightlink.wasm")?, "brightlink.wasm")?;
//! let fixtures = Fixtures::read(Path::new("brightlink/fixtures"))?;
//! let report = test(&connector, &fixtures, Bless::No)?;
//! assert!(report.findings.is_empty(), "{:#?}", report.findings);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod component;
mod conformance;
mod error;
mod fixture;
mod fuzz;
mod index;
mod inspect;
mod line_diff;
mod recording;
mod report;
mod rows;
mod scrub;
mod speed;
mod template;

pub use answer::{Sample, plan, play};
pub use component::{Source, build};
pub use error::Error;
pub use fixture::{Case, Fixtures, ResponseFile, StoredAnswer};
pub use fuzz::{FuzzFinding, FuzzOptions, FuzzReport, fuzz, replay};
pub use index::{Indexed, index};
pub use inspect::Inspection;
pub use line_diff::difference;
pub use recording::{Recording, record};
pub use report::{Bless, CHECKS, Finding, TestReport, test};
pub use rows::{batch_rows, mapped_rows};
pub use speed::rows_per_second;
pub use template::{Language, Sdk, create, sdk_of};
