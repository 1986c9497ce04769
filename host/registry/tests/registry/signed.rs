//! Files that must be signed. Keys and signatures in `signed/` were made with py-minisign 0.21; those of `shop`, another
//! author's, by RFC 8032 and minisign's description of its format.

use std::fs;

use sluice_registry::{Keys, Registry, Serving};

use crate::{engine, wait};

const COMPONENT: &[u8] = include_bytes!("signed/awin.wasm");
const SIGNATURE: &[u8] = include_bytes!("signed/awin.wasm.minisig");
const STRANGERS: &[u8] = include_bytes!("signed/stranger.minisig");
const KEY: &str = include_str!("signed/key.pub");
/// The same component under another network's name, with its author's key.
const SHOP: &[u8] = include_bytes!("signed/shop.wasm");
const SHOPS_SIGNATURE: &[u8] = include_bytes!("signed/shop.wasm.minisig");
const SHOPS_KEY: &str = include_str!("signed/shop.pub");

struct Directory(tempfile::TempDir, Registry);

impl Directory {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::parse(&[KEY, SHOPS_KEY].map(|key| key.trim().to_owned())).unwrap();
        let policy = std::sync::Arc::new(crate::swaps::Book::default());
        let registry = wait(Registry::open_with_policy(engine(), dir.path(), keys, policy)).unwrap();
        Self(dir, registry)
    }

    fn put(&self, file: &str, bytes: &[u8]) -> Option<String> {
        fs::write(self.0.path().join(file), bytes).unwrap();
        wait(self.1.rescan());
        self.1.entries().first().and_then(|entry| entry.refusal().map(str::to_owned))
    }

    fn serves(&self) -> bool {
        self.1.get("awin").is_some()
    }
}

#[test]
fn a_signed_file_serves_whichever_comes_first() {
    let directory = Directory::new();
    let refusal = directory.put("awin.wasm", COMPONENT);
    assert_eq!(refusal.as_deref(), Some("cannot load connector `awin.wasm`: the file is not signed"));
    assert!(!directory.serves());
    assert_eq!(directory.put("awin.wasm.minisig", SIGNATURE), None);
    assert!(directory.serves());

    let directory = Directory::new();
    directory.put("awin.wasm.minisig", SIGNATURE);
    assert_eq!(directory.put("awin.wasm", COMPONENT), None);
    assert!(directory.serves());
}

#[test]
fn a_strangers_signature_is_refused_by_name_with_a_hint() {
    let directory = Directory::new();
    directory.put("awin.wasm.minisig", STRANGERS);
    let refusal = directory.put("awin.wasm", COMPONENT);
    assert_eq!(
        refusal.as_deref(),
        Some(
            "cannot load connector `awin.wasm`: its signature is not good: no key of `connectors.keys` made this \
             signature of this file"
        )
    );
    let state = directory.1.entries().remove(0).state;
    assert!(matches!(state, Serving::Refused(reason) if reason.hint.as_ref().unwrap().contains("minisign -S")));
    for garbage in [&b"x"[..], b"untrusted comment: \n\n\n\n", b"\xff\xfe"] {
        assert!(directory.put("awin.wasm.minisig", garbage).is_some());
    }
    assert!(!directory.serves());
}

#[test]
fn one_changed_byte_breaks_the_signature_and_the_signed_version_goes_on() {
    let directory = Directory::new();
    directory.put("awin.wasm.minisig", SIGNATURE);
    directory.put("awin.wasm", COMPONENT);
    let mut other = COMPONENT.to_vec();
    other.extend_from_slice(&[0, 2, 1, b'n']);
    assert!(directory.put("awin.wasm", &other).is_some());
    assert_eq!(directory.1.get("awin").unwrap().digest(), sluice_model::Digest::of(COMPONENT));
}

#[test]
fn a_signed_component_of_another_network_takes_over_neither() {
    let directory = Directory::new();
    directory.put("shop.wasm.minisig", SHOPS_SIGNATURE);
    assert_eq!(directory.put("shop.wasm", SHOP), None);
    // A good signature of a trusted key, and another network's name.
    directory.put("shop.wasm.minisig", SIGNATURE);
    let refusal = directory.put("shop.wasm", COMPONENT).unwrap();
    assert!(refusal.contains("`awin`") && refusal.contains("`shop`"), "{refusal}");
    assert_eq!(directory.1.get("shop").unwrap().digest(), sluice_model::Digest::of(SHOP));
    assert!(!directory.serves());
    // A second file of a network that is served doesn't serve it either.
    directory.put("awin.wasm.minisig", SHOPS_SIGNATURE);
    let refusal = directory.put("awin.wasm", SHOP).unwrap();
    assert!(refusal.contains("already served by `shop.wasm`"), "{refusal}");
    // Nor does one author's signature count for another's file.
    assert!(directory.put("awin.wasm", COMPONENT).unwrap().contains("its signature is not good"));
    assert!(!directory.serves());
}

#[test]
fn a_text_that_is_no_key_is_named_by_its_place() {
    assert_eq!(Keys::parse(&["RWnonsense".to_owned()]).unwrap_err(), 1);
}
