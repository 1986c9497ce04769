//! Connectors that differ from the built ones in a word: further versions of them, made in no time.

use anyhow::{Context, ensure};

use crate::connectors_dir;

/// A built connector with some bytes of its data written otherwise, everywhere.
///
/// # Errors
/// A connector that isn't built, or that doesn't hold the bytes.
pub fn variant(network: &str, from: &str, to: &str) -> anyhow::Result<Vec<u8>> {
    let file = connectors_dir().join(format!("{network}.wasm"));
    let component = std::fs::read(&file).with_context(|| format!("no {}: run `just build`", file.display()))?;
    patched(&component, &[(from, to)]).with_context(|| file.display().to_string())
}

/// A connector with texts of its data exchanged for others of their length, everywhere.
///
/// # Errors
/// A text that isn't there, or that has another length.
pub fn patched(component: &[u8], changes: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let mut patched = component.to_vec();
    for (from, to) in changes {
        ensure!(from.len() == to.len() && from != to, "`{from}` and `{to}` are no two words of one length");
        let found = patched.windows(from.len()).enumerate().filter(|(_, bytes)| *bytes == from.as_bytes());
        let places: Vec<usize> = found.map(|(place, _)| place).collect();
        ensure!(!places.is_empty(), "it holds no `{from}`");
        for place in places {
            patched[place..place + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    Ok(patched)
}

/// A connector for a network of another id, of the same four letters' length. Rust may write so short a text as a number
/// into its code: that is changed too.
///
/// # Errors
/// An id that isn't there, or that has another length.
pub fn renamed(component: &[u8], from: &str, to: &str) -> anyhow::Result<Vec<u8>> {
    let in_code = |id: &str| -> anyhow::Result<[u8; 5]> {
        let mut number =
            u32::from_le_bytes(id.as_bytes().try_into().with_context(|| format!("`{id}` has no 4 bytes"))?);
        // As WebAssembly writes a constant: seven bits a byte, the lowest first. ASCII needs no sign.
        Ok(std::array::from_fn(|place| {
            let bits = (number & 0x7f) as u8;
            number >>= 7;
            if place < 4 { bits | 0x80 } else { bits }
        }))
    };
    let (old, new) = (in_code(from)?, in_code(to)?);
    let mut renamed = patched(component, &[(from, to)])?;
    let found = renamed.windows(old.len()).enumerate().filter(|(_, bytes)| *bytes == old);
    let places: Vec<usize> = found.map(|(place, _)| place).collect();
    for place in places {
        renamed[place..place + new.len()].copy_from_slice(&new);
    }
    Ok(renamed)
}

/// A connector with a note in it: another digest, the same behaviour.
pub fn noted(component: &[u8], note: u32) -> Vec<u8> {
    [component, &[0, 6, 1, b'n'], &note.to_le_bytes()].concat()
}
