//! From a file's bytes to a connector: know what it is before anything of it runs.

use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use sluice_model::{Digest, Manifest};
use wasmparser::{Encoding, Parser, Payload};

use crate::call::Caller;
use crate::connector::Connector;
use crate::contract::{Contract, Guest};
use crate::engine::Engine;
use crate::error::{Error, LoadFault};
use crate::{check, wasi};

/// The package whose interfaces make a contract.
const PACKAGE: &str = "sluice:connector/";
const INTERFACE: &str = "sluice:connector/connector";
const MAGIC: &[u8] = b"\0asm";

pub(crate) fn load(engine: &Engine, wasm: &[u8], origin: &str) -> Result<Connector, Error> {
    let refuse = |fault| Error::Load { origin: origin.to_owned(), fault };
    let limit = engine.limits().component_bytes;
    if wasm.len() as u64 > limit {
        return Err(refuse(LoadFault::TooLarge { bytes: wasm.len() as u64, limit }));
    }
    let contract = contract_of(wasm).map_err(refuse)?;
    let digest = Digest::of(wasm);
    let component = engine.compile(wasm, digest).map_err(refuse)?;
    let guest = Guest::new(contract, engine.linker(), &component)
        .map_err(|error| refuse(LoadFault::WrongTypes { source: error.into() }))?;
    let is_large = AtomicBool::new(false);
    let caller = Caller { engine, connector: origin, version: "", call: "describe", is_large: &is_large };
    let manifest = describe(&guest, &caller)?;
    check::manifest(&manifest).map_err(|what| refuse(LoadFault::Manifest { what }))?;
    let code = component.image_range();
    let code_bytes = code.end.addr().saturating_sub(code.start.addr());
    Ok(Connector::new(engine.clone(), guest, manifest, Bytes::copy_from_slice(wasm), code_bytes))
}

/// Asks for the manifest on a thread of its own: a WASI stream blocks on the runtime of the thread that calls, which panics
/// on a thread that drives one.
fn describe(guest: &Guest, caller: &Caller<'_>) -> Result<Manifest, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("sluice-describe".to_owned());
        let thread = thread.spawn_scoped(scope, || guest.describe(caller));
        let thread = thread.map_err(|error| Error::host("start a thread")(error.into()))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The contract of a component, from its outermost imports and exports; nothing is compiled.
fn contract_of(wasm: &[u8]) -> Result<Contract, LoadFault> {
    if wasm.is_empty() {
        return Err(LoadFault::Empty);
    }
    if !wasm.starts_with(&MAGIC[..wasm.len().min(MAGIC.len())]) {
        return Err(LoadFault::NotWasm);
    }
    let names = Names::of(wasm)?;
    let contract = names.contract()?;
    match names.imports.iter().find(|import| !contract.offers(import) && !wasi::offers(import)) {
        Some(name) => Err(LoadFault::UnknownImport { name: name.clone() }),
        None => Ok(contract),
    }
}

/// Names of a component's outermost imports and exports.
#[derive(Default)]
struct Names {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Names {
    fn of(wasm: &[u8]) -> Result<Self, LoadFault> {
        let mut names = Self::default();
        let mut depth = 0_u32;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload.map_err(invalid)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => return Err(LoadFault::CoreModule),
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        names.imports.push(import.map_err(invalid)?.name.name.to_owned());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        names.exports.push(export.map_err(invalid)?.name.name.to_owned());
                    }
                }
                _ => {}
            }
        }
        Ok(names)
    }

    fn contract(&self) -> Result<Contract, LoadFault> {
        let versions: Vec<&str> =
            self.exports.iter().filter_map(|name| name.strip_prefix(INTERFACE)?.strip_prefix('@')).collect();
        match (Contract::newest(&versions), versions.first()) {
            (Some(contract), _) => Ok(contract),
            (None, Some(found)) => {
                Err(LoadFault::WrongVersion { found: (*found).to_owned(), known: Contract::versions() })
            }
            (None, None) => Err(LoadFault::WrongWorld { exports: self.exports.clone() }),
        }
    }
}

impl Contract {
    /// Whether an import of this name is an interface that this contract gives.
    fn offers(self, import: &str) -> bool {
        let name = import.strip_prefix(PACKAGE).and_then(|name| name.split_once('@'));
        name.is_some_and(|interface| self.imports(interface))
    }
}

fn invalid(error: wasmparser::BinaryReaderError) -> LoadFault {
    LoadFault::Invalid { source: error.into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn fault(wat: &str) -> LoadFault {
        contract_of(&wat::parse_str(wat).unwrap()).expect_err("it is refused")
    }

    const CONNECTOR: &str = r#"(instance $i) (export "sluice:connector/connector@0.1.0" (instance $i))"#;

    #[test]
    fn nothing_and_something_else_are_told_apart() {
        assert!(matches!(contract_of(b""), Err(LoadFault::Empty)));
        assert!(matches!(contract_of(b"<html>"), Err(LoadFault::NotWasm)));
        assert!(matches!(contract_of(b"\0as"), Err(LoadFault::Invalid { .. })));
        assert!(matches!(fault("(module)"), LoadFault::CoreModule));
    }

    #[test]
    fn a_file_cut_short_is_invalid() {
        let whole = wat::parse_str(format!("(component {CONNECTOR})")).unwrap();
        assert!(contract_of(&whole).is_ok());
        assert!(matches!(contract_of(&whole[..whole.len() - 3]), Err(LoadFault::Invalid { .. })));
    }

    #[test]
    fn a_wrong_world_says_what_it_exports() {
        let fault = fault(r#"(component (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#);
        assert_eq!(
            fault.to_string(),
            "the component doesn't export `sluice:connector/connector`; it exports `wasi:cli/run@0.2.0`"
        );
        assert!(matches!(contract_of(&wat::parse_str("(component)").unwrap()), Err(LoadFault::WrongWorld { .. })));
    }

    #[test]
    fn another_version_names_both() {
        let fault = fault(r#"(component (instance $i) (export "sluice:connector/connector@0.9.0" (instance $i)))"#);
        assert_eq!(
            fault.to_string(),
            "the component speaks contract version 0.9.0, this host speaks `0.1.0`, `0.2.0`, `0.3.0-draft.4`"
        );
    }

    #[test]
    fn of_several_versions_the_newest_that_is_known_counts() {
        let export = |version: &str| format!(r#"(export "sluice:connector/connector@{version}" (instance $i))"#);
        let with = |versions: &[&str]| {
            let exports: String = versions.iter().map(|version| export(version)).collect();
            contract_of(&wat::parse_str(format!("(component (instance $i) {exports})")).unwrap())
        };
        assert!(matches!(with(&["0.1.0", "0.2.0", "0.3.0"]), Ok(Contract::V0_2)));
        assert!(matches!(with(&["0.3.0-draft.4", "0.2.0"]), Ok(Contract::V0_3)));
        assert!(matches!(with(&["0.3.0", "0.1.0"]), Ok(Contract::V0_1)));
        assert!(matches!(with(&["0.3.0-draft.3", "0.2.0"]), Ok(Contract::V0_2)));
        assert!(matches!(with(&["0.3.0", "0.1.1"]), Err(LoadFault::WrongVersion { found, .. }) if found == "0.3.0"));
    }

    #[test]
    fn an_import_that_is_not_given_is_named() {
        let newer = CONNECTOR.replace("0.1.0", "0.2.0");
        let with = |import: &str, export: &str| format!(r#"(component (import "{import}" (instance)) {export})"#);
        let refused = |import: &str, export: &str| {
            let fault = fault(&with(import, export));
            assert!(matches!(fault, LoadFault::UnknownImport { name } if name == import), "{import}");
        };
        for import in ["wasi:http/types@0.2.0", "sluice:connector/responses@0.2.0", "sluice:connector/secrets@0.1.0"] {
            refused(import, CONNECTOR);
            refused(import, &newer);
        }
        refused("sluice:connector/columns@0.2.0", CONNECTOR);
        let given = |import: &str, export: &str| contract_of(&wat::parse_str(with(import, export)).unwrap()).is_ok();
        for import in ["wasi:cli/environment@0.2.3", "sluice:connector/responses@0.1.0"] {
            assert!(given(import, CONNECTOR) && given(import, &newer), "{import}");
        }
        assert!(given("sluice:connector/columns@0.2.0", &newer));
    }

    #[test]
    fn nested_components_do_not_count() {
        let fault = fault(&format!("(component (component {CONNECTOR}))"));
        assert!(matches!(fault, LoadFault::WrongWorld { .. }));
    }
}
