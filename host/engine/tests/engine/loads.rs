//! What is refused before it runs.

use std::error::Error as _;

use sluice_engine::{Engine, EngineOptions, Error, LoadFault, TrapReason};

use crate::engine;
use crate::guest::Guest;

fn refused(engine: &Engine, wasm: &[u8]) -> (String, String) {
    let error = engine.load(wasm, "x.wasm").expect_err("it is refused");
    (error.to_string(), error.hint().expect("every refusal has a hint"))
}

#[test]
fn every_refusal_names_the_file_and_what_to_do() {
    let engine = engine();
    let (error, hint) = refused(&engine, b"");
    assert_eq!(error, "cannot load connector `x.wasm`: the file is empty");
    assert!(hint.contains("copy the file again"));
    let (error, hint) = refused(&engine, &wat::parse_str("(module)").unwrap());
    assert_eq!(error, "cannot load connector `x.wasm`: the file is a core module, not a component");
    assert!(hint.contains("wasm-tools component new"));
}

#[test]
fn other_types_than_the_contracts_are_refused() {
    for component in [
        r#"(component (instance $i) (export "sluice:connector/connector@0.1.0" (instance $i)))"#,
        r#"(component
            (import "sluice:connector/responses@0.1.0" (instance (export "secrets" (func))))
            (instance $i) (export "sluice:connector/connector@0.1.0" (instance $i)))"#,
    ] {
        let error = engine().load(&wat::parse_str(component).unwrap(), "x.wasm").unwrap_err();
        assert!(matches!(error, Error::Load { fault: LoadFault::WrongTypes { .. }, .. }), "{error:?}");
        assert!(error.source().is_some());
    }
}

#[test]
fn a_component_cut_short_is_refused() {
    let whole = Guest::new("test", "1.0.0").component();
    for end in [9, whole.len() / 2, whole.len() - 1] {
        let error = engine().load(&whole[..end], "x.wasm").unwrap_err();
        assert!(matches!(error, Error::Load { .. }), "{error:?}");
    }
}

#[test]
fn a_component_with_a_bit_flipped_never_panics() {
    let engine = engine();
    let whole = Guest::new("test", "1.0.0").component();
    for at in (0..whole.len()).step_by(97) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        let _ = engine.load(&flipped, "x.wasm");
    }
}

#[test]
fn a_wrong_manifest_is_refused_by_its_rule() {
    let unnamed = Guest { host: "10.0.0.1".to_owned(), ..Guest::new("test", "1.0.0") };
    let (error, _) = refused(&engine(), &unnamed.component());
    assert!(error.contains("its manifest is wrong: host \"10.0.0.1\" is no name"), "{error}");
    let reserved = Guest::new("unified", "1.0.0").component();
    assert!(refused(&engine(), &reserved).0.contains("is reserved"));
}

#[test]
fn a_guest_that_fails_to_describe_itself_is_at_fault() {
    let guest = Guest { more: "(func $fail unreachable) (start $fail)".to_owned(), ..Guest::new("test", "1.0.0") };
    let error = engine().load(&guest.component(), "x.wasm").unwrap_err();
    assert!(matches!(&error, Error::Trapped { reason: TrapReason::Trap(_), call: "describe", .. }), "{error:?}");
}

#[test]
fn more_memory_at_the_start_than_allowed_is_refused() {
    let guest = Guest { more: r#"(memory $more 1)"#.to_owned(), ..Guest::new("test", "1.0.0") };
    // A second memory isn't part of the WebAssembly that connectors get.
    assert!(engine().load(&guest.component(), "x.wasm").is_err());
}

#[test]
fn what_was_compiled_once_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache_dir = Some(dir.path().join("cache"));
    let wasm = Guest::new("test", "1.0.0").component();
    for _ in 0..2 {
        let options = EngineOptions { cache_dir: cache_dir.clone(), max_instances: 1, ..EngineOptions::default() };
        let connector = Engine::new(options).unwrap().load(&wasm, "x.wasm").unwrap();
        assert_eq!(connector.manifest().network, "test");
        assert_eq!(std::fs::read_dir(dir.path().join("cache")).unwrap().count(), 1);
    }
}
