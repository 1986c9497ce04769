//! Connectors that differ from the built ones in a word.

use anyhow::{Context, ensure};

use crate::connectors_dir;

/// A built connector with some bytes of its data written otherwise, everywhere: another version of it, made in no time.
///
/// # Errors
/// A connector that isn't built, or that doesn't hold the bytes.
pub fn variant(network: &str, from: &str, to: &str) -> anyhow::Result<Vec<u8>> {
    ensure!(from.len() == to.len() && from != to, "`{from}` and `{to}` are no two words of one length");
    let file = connectors_dir().join(format!("{network}.wasm"));
    let mut component = std::fs::read(&file).with_context(|| format!("no {}: run `just build`", file.display()))?;
    let places: Vec<usize> = component
        .windows(from.len())
        .enumerate()
        .filter(|(_, bytes)| *bytes == from.as_bytes())
        .map(|(place, _)| place)
        .collect();
    ensure!(!places.is_empty(), "{} holds no `{from}`", file.display());
    for place in places {
        component[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
    Ok(component)
}
