//! The commands of connector authors.

mod dev;
mod new;
mod record;
mod test;

use sluice_engine::{Connector, Engine};
use sluice_kit::{Error, Source};
use sluice_runtime::failure::Failure;

pub(super) use dev::dev;
pub(super) use new::new;
pub(super) use record::record;
pub(super) use test::test;

/// A failure of the kit as a command's.
fn failed(error: Error) -> Failure {
    let hint = error.hint();
    Failure::failed(error).maybe_hint(hint)
}

/// Builds a connector if it is a folder, and loads it as a host does.
fn load(engine: &Engine, source: &Source) -> Result<Connector, Failure> {
    let (bytes, origin) = sluice_kit::build(source).map_err(failed)?;
    Ok(engine.load(&bytes, &origin)?)
}
