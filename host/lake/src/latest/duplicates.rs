//! Refusing what would make a key stand twice in the latest state.

use std::collections::HashSet;

use deltalake::kernel::Add;

use super::keys::KeyVersions;
use crate::error::Error;
use crate::index::to_hex;
use crate::table::Table;

/// Rows that are compared at once, 8 bytes each: more take several passes.
const ROWS_AT_ONCE: usize = 4 << 20;

/// Refuses files of the table of versions of which two rows are the same version of the same key.
///
/// Compared are 64 bits of each row; rows that agree in these are compared in full.
pub(super) async fn refuse_duplicates(rows: &mut KeyVersions<'_>, files: &[Add]) -> Result<(), Error> {
    let total: usize = files.iter().map(|add| rows_of(add).unwrap_or(ROWS_AT_ONCE)).sum();
    let passes = total.div_ceil(ROWS_AT_ONCE).max(1) as u64;
    for pass in 0..passes {
        let mut digests = Vec::new();
        for add in files {
            let read = rows.read(add).await?;
            let digests_of = read.iter().map(|(key, version)| digest(*key, *version));
            digests.extend(digests_of.filter(|digest| digest % passes == pass));
        }
        digests.sort_unstable();
        let twice: HashSet<u64> = digests.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        drop(digests);
        if !twice.is_empty() {
            compare(rows, files, &twice).await?;
        }
    }
    Ok(())
}

/// Compares the rows with these digests in full.
async fn compare(rows: &mut KeyVersions<'_>, files: &[Add], digests: &HashSet<u64>) -> Result<(), Error> {
    let mut seen: HashSet<(u128, i32)> = HashSet::new();
    for add in files {
        for (key, version) in rows.read(add).await?.iter() {
            if digests.contains(&digest(*key, *version)) && !seen.insert((*key, *version)) {
                return Err(duplicate(rows.table, *key, *version, add));
            }
        }
    }
    Ok(())
}

/// A key is a hash already: rows of one key differ by their versions.
fn digest(key: u128, version: i32) -> u64 {
    (key as u64).wrapping_add((version as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn rows_of(add: &Add) -> Option<usize> {
    let stats: serde_json::Value = serde_json::from_str(add.stats.as_deref()?).ok()?;
    usize::try_from(stats.get("numRecords")?.as_u64()?).ok()
}

/// The refusal of a version that a file has and another row is.
pub(super) fn duplicate(table: &Table, key: u128, version: i32, add: &Add) -> Error {
    Error::DuplicateVersion {
        table: table.name().to_owned(),
        key: String::from_utf8_lossy(&to_hex(key)).into_owned(),
        version,
        path: add.path.clone(),
    }
}
