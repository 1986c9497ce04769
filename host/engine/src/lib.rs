//! The only place where guests run.
//!
//! A connector is a WebAssembly component that the operator drops into a directory; it is hostile until proven
//! otherwise. This crate checks it, compiles it, gives it a fresh instance for every call with caps on memory, time
//! and output, and turns what it returns into the model's nouns, or into an error that names whose fault it is.
//!
//! It depends on `sluice-model` and `sluice-decode` alone, does no HTTP, knows no secrets and writes nothing but its compile cache.
//!
//! ```no_run
//! use sluice_engine::{Engine, EngineOptions};
//!
//! let engine = Engine::new(EngineOptions::default())?;
//! let awin = engine.load(&std::fs::read("awin.wasm")?, "awin.wasm")?;
//! println!("awin {} reads {} streams", awin.version(), awin.manifest().streams.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bounds;
mod cache;
mod call;
mod check;
mod columns;
mod compile;
mod connector;
mod contract;
mod currency;
mod engine;
mod error;
mod facts;
mod inputs;
mod limits;
mod load;
mod map_raw;
mod opaque;
mod panic_text;
mod state;
mod times;
mod transactions;
mod twice;
mod wasi;

pub use sluice_decode::Decoded;

pub use connector::{Connector, visible_headers};
pub use engine::{Engine, EngineOptions, Live};
pub use error::{Error, LoadFault, TrapReason};
pub use limits::Limits;
pub use map_raw::{DecodedResponse, TwiceCheck};
