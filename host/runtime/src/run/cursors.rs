//! The cursors that the slices of a run begin with.

use std::collections::HashMap;

use crate::app::{App, Network};
use crate::failure::Failure;
use crate::slices::SliceJob;

/// The most bytes of all of them: each slice of a look-back rule's read has the same one, and there may be a hundred thousand.
const MAX_CURSOR_BYTES: usize = 4 << 20;

/// Gives each slice of a look-back rule the cursor that the rule's last read left.
///
/// # Errors
/// A failure of the state store; cursors that have too many bytes together.
pub(super) async fn give(app: &App, network: &Network, jobs: &mut [SliceJob]) -> Result<(), Failure> {
    let mut known: HashMap<[String; 4], Option<String>> = HashMap::new();
    let mut left = CursorBytes(MAX_CURSOR_BYTES);
    for SliceJob { slice, rule, .. } in jobs {
        let Some(rule) = rule.as_deref() else { continue };
        let of = [slice.account.as_str(), &slice.stream, slice.axis.name(), rule].map(str::to_owned);
        let cursor = match known.get(&of) {
            Some(cursor) => cursor.clone(),
            None => {
                let cursor = app.state.cursor(slice, rule).await?;
                known.insert(of, cursor.clone());
                cursor
            }
        };
        if !left.take(cursor.as_deref()) {
            return Err(too_many(network, &slice.account, &slice.stream));
        }
        slice.cursor = cursor;
    }
    Ok(())
}

/// What is left of the bytes.
struct CursorBytes(usize);

impl CursorBytes {
    fn take(&mut self, cursor: Option<&str>) -> bool {
        let left = self.0.checked_sub(cursor.map_or(0, str::len));
        left.inspect(|left| self.0 = *left).is_some()
    }
}

fn too_many(network: &Network, account: &str, stream: &str) -> Failure {
    let (name, manifest) = (&network.settings.name, network.manifest());
    Failure::settings(format!(
        "the slices of a run of {name} would have more than {MAX_CURSOR_BYTES} bytes of cursors: account `{account}` has \
         too long a one for stream `{stream}` from connector `{}` {}",
        manifest.network, manifest.version
    ))
    .hint(format!("shorten look_back in networks/{name}.json, so that there are fewer slices"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cursor_is_given_to_a_few_slices_and_a_short_one_to_many() {
        let given = |cursor: &str, slices: usize| {
            let mut left = CursorBytes(MAX_CURSOR_BYTES);
            (0..slices).take_while(|_| left.take(Some(cursor))).count()
        };
        assert_eq!(given(&"x".repeat(64 << 10), 100_000), 64);
        assert_eq!(given("2026-01-01T00:00:00Z", 100_000), 100_000);
        let mut left = CursorBytes(0);
        assert!(left.take(None) && !left.take(Some("x")));
    }
}
