//! The commands of connector authors.

mod dev;
mod fuzz;
mod new;
mod record;
mod test;

use std::time::Duration;

use sluice_engine::{Connector, Engine, Limits};
use sluice_kit::{Error, Source};
use sluice_runtime::app;
use sluice_runtime::failure::Failure;

pub(super) use dev::dev;
pub(super) use fuzz::fuzz;
pub(super) use new::new;
pub(super) use record::record;
pub(super) use test::test;

/// How long compiling a component may take.
const MOST_COMPILING: Duration = Duration::from_secs(600);

/// A failure of the kit as a command's.
fn failed(error: Error) -> Failure {
    let hint = error.hint();
    Failure::failed(error).maybe_hint(hint)
}

/// The engine of an author: as a host's, but compiling may take as long as it does on a busy machine.
fn engine() -> Result<Engine, Failure> {
    app::open_engine_within(Limits { compile_timeout: MOST_COMPILING, ..Limits::default() })
}

/// Builds a connector if it is a folder, and loads it as a host does.
fn load(engine: &Engine, source: &Source) -> Result<Connector, Failure> {
    let (bytes, origin) = sluice_kit::build(source).map_err(failed)?;
    Ok(engine.load(&bytes, &origin)?)
}
