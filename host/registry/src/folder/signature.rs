//! Signatures of connectors, as `minisign` makes them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use minisign_verify::{PublicKey, Signature};
use sluice_engine::{Error, LoadFault};

/// A signature has four short lines.
const MAX_BYTES: u64 = 8 << 10;

/// Public keys whose signature a connector needs; without any, it needs none.
#[derive(Clone, Default)]
pub struct Keys(Vec<PublicKey>);

impl Keys {
    /// Keys as `minisign -G` prints them: `RW…`.
    ///
    /// # Errors
    /// The place of the first text that is no key, counted from 1.
    pub fn parse(texts: &[String]) -> Result<Self, usize> {
        let places = 1..=texts.len();
        texts
            .iter()
            .zip(places)
            .map(|(text, place)| PublicKey::from_base64(text).map_err(|_| place))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether one of them signed these bytes, which errors name by `origin`.
    ///
    /// # Errors
    /// [`Error::Load`] if none did.
    pub fn check_as(&self, origin: &str, component: &[u8], signature: Option<&str>) -> Result<(), Error> {
        self.check(component, signature).map_err(|fault| Error::Load { origin: origin.to_owned(), fault })
    }

    /// Whether one of them signed these bytes.
    fn check(&self, component: &[u8], signature: Option<&str>) -> Result<(), LoadFault> {
        if self.0.is_empty() {
            return Ok(());
        }
        let signature = signature.ok_or(LoadFault::Unsigned)?;
        let signature = Signature::decode(signature)
            .map_err(|_| LoadFault::Signature { what: "the signature's file holds none" })?;
        // Only what `minisign` writes since 0.10: signatures of a digest.
        if self.0.iter().any(|key| key.verify(component, &signature, false).is_ok()) {
            Ok(())
        } else {
            Err(LoadFault::Signature { what: "no key of `connectors.keys` made this signature of this file" })
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// The path of a file's signature.
pub(super) fn path_of(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".minisig");
    PathBuf::from(path)
}

/// The signature beside a file, if there is one that can be read.
pub(super) fn beside(component: &Path) -> Option<String> {
    let path = path_of(component);
    if !path.is_file() {
        return None;
    }
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}
