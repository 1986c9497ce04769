//! Fuzzing on stable Rust, without a toolchain of its own.
//!
//! A target is a function of bytes that may not panic and may not take long. Inputs come from its corpus
//! (`tests/fuzz/corpus/<target>/`, kept for good) and from seeds, and are mutated; one that reaches new branches is kept
//! and mutated further. Branches are counted if the engine was compiled through `rustc.sh`, as `just fuzz` does; without
//! that, the corpus is tried, and some mutations of it that are the same every time.

mod coverage;
mod dice;
mod mutate;
mod run;

pub use run::{Effort, Target, TargetReport, fuzz};
