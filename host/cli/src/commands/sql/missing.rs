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
    if json {
        return missing.warnings(scope).iter().try_for_each(|value| Ok(writeln!(err, "{value}")?));
    }
    for Section { warnings, more, hint } in missing.sections(scope) {
        for (text, _) in warnings {
            writeln!(err, "warning: {text}")?;
        }
        if more > 0 {
            writeln!(err, "warning: and {more} more")?;
        }
        if let Some(hint) = hint {
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
