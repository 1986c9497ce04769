//! Warnings of what a result may lack, on standard error.

use std::io::Write;

use sluice_query::Scope;
use sluice_runtime::failure::Failure;
use sluice_runtime::missing::{Missing, Section};

/// Warns on standard error of what a result may lack.
///
/// # Errors
/// That of standard error.
pub(super) fn warn(missing: &Missing, scope: &Scope, json: bool) -> Result<(), Failure> {
    let mut err = std::io::stderr().lock();
    for Section { warnings, more, hint } in missing.sections(scope) {
        for (text, value) in warnings {
            if json { writeln!(err, "{value}")? } else { writeln!(err, "warning: {text}")? }
        }
        if more > 0 && !json {
            writeln!(err, "warning: and {more} more")?;
        }
        if let Some(hint) = hint.filter(|_| !json) {
            writeln!(err, "hint: {hint}")?;
        }
    }
    Ok(())
}

/// Warns on standard error that tables may not fit together, because a rebuild is replacing them.
///
/// # Errors
/// That of standard error.
pub(in crate::commands) fn warn_of_rebuild(json: bool) -> Result<(), Failure> {
    warn(&Missing::of_rebuild(), &Scope::default(), json)
}
