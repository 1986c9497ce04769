//! How much a compiler is given to do, counted before it begins.
//!
//! A file's size is no measure of that: cost grows faster than a function's length, and a component of a kilobyte,
//! each of whose parts makes two instances of the part before it, makes more of them than there are atoms. So functions,
//! their lengths and instances are counted here, in one pass that compiles and runs nothing.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Encoding, Instance, Parser,
    Payload,
};

use crate::error::LoadFault;
use crate::limits::Limits;

/// Most components inside each other. Toolchains nest one or two.
const MAX_DEPTH: u64 = 16;
/// Guests can't have pages of other sizes.
const PAGE_BYTES: u64 = 65_536;

/// Refuses a component that is too much for the compiler.
pub(crate) fn check(wasm: &[u8], limits: &Limits) -> Result<(), LoadFault> {
    let mut totals = Totals::default();
    // The components that the parser is inside of, the outermost first; and of which of them it is a module.
    let mut open: Vec<ComponentCost> = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding, .. } => open.push(ComponentCost::of(encoding)),
            Payload::End(_) => {
                let Some(closed) = open.pop() else { break };
                if closed.is_component && !open.is_empty() {
                    push(&mut open, Some(closed.instances))?;
                }
                at_most("instances of its parts", closed.instances, limits.component_instances)?;
            }
            payload => {
                totals.add(&payload, limits)?;
                count_instances(&mut open, payload)?;
            }
        }
        at_most("components inside each other", open.len() as u64, MAX_DEPTH)?;
    }
    Ok(())
}

/// What all modules of a component have together.
#[derive(Default)]
struct Totals {
    functions: u64,
    /// Bytes that its memories have at their start.
    memory: u64,
}

impl Totals {
    fn add(&mut self, payload: &Payload<'_>, limits: &Limits) -> Result<(), LoadFault> {
        match payload {
            Payload::CodeSectionStart { count, .. } => {
                self.functions += u64::from(*count);
                at_most("functions", self.functions, limits.functions)
            }
            Payload::CodeSectionEntry(body) => {
                at_most("bytes in one function", body.range().len() as u64, limits.function_bytes)
            }
            Payload::MemorySection(section) => {
                for one in section.clone() {
                    let bytes = one.map_err(invalid)?.initial.saturating_mul(PAGE_BYTES);
                    self.memory = self.memory.saturating_add(bytes);
                    at_most("bytes of memory at its start", self.memory, limits.memory_bytes as u64)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Counts the instances that a section makes, and notes what the components cost that it defines.
fn count_instances(open: &mut [ComponentCost], payload: Payload<'_>) -> Result<(), LoadFault> {
    match payload {
        Payload::InstanceSection(section) => {
            for instance in section {
                if let (Instance::Instantiate { .. }, Some(part)) = (instance.map_err(invalid)?, open.last_mut()) {
                    part.instances += 1;
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(invalid)? {
                    let part = open.last_mut().ok_or_else(misplaced)?;
                    part.instantiate(component_index)?;
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                alias_component(open, &alias.map_err(invalid)?)?;
            }
        }
        Payload::ComponentImportSection(section) => {
            for import in section {
                if import.map_err(invalid)?.ty.kind() == ComponentExternalKind::Component {
                    push(open, None)?;
                }
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export.map_err(invalid)?;
                if export.kind == ComponentExternalKind::Component {
                    let cost = open.last().and_then(|part| part.cost_of(export.index));
                    push(open, cost)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// A component or module that is being read.
struct ComponentCost {
    is_component: bool,
    /// What each component of its index space costs when it is instantiated; none where that can't be known.
    components: Vec<Option<u64>>,
    /// Instances that are made when it is instantiated, those inside its parts included.
    instances: u64,
}

impl ComponentCost {
    fn of(encoding: Encoding) -> Self {
        Self { is_component: encoding == Encoding::Component, components: Vec::new(), instances: 0 }
    }

    fn cost_of(&self, component: u32) -> Option<u64> {
        self.components.get(component as usize).copied().flatten()
    }

    fn instantiate(&mut self, component: u32) -> Result<(), LoadFault> {
        let cost = self.cost_of(component).ok_or_else(|| LoadFault::Invalid {
            source: "it makes instances of a component that it doesn't hold itself".into(),
        })?;
        self.instances = self.instances.saturating_add(cost).saturating_add(1);
        Ok(())
    }
}

fn alias_component(open: &mut [ComponentCost], alias: &ComponentAlias<'_>) -> Result<(), LoadFault> {
    let cost = match *alias {
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
            let outer = open.len().checked_sub(1 + count as usize).and_then(|at| open.get(at));
            outer.and_then(|part| part.cost_of(index))
        }
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => None,
        _ => return Ok(()),
    };
    push(open, cost)
}

fn push(open: &mut [ComponentCost], cost: Option<u64>) -> Result<(), LoadFault> {
    open.last_mut().ok_or_else(misplaced)?.components.push(cost);
    Ok(())
}

fn at_most(what: &'static str, found: u64, limit: u64) -> Result<(), LoadFault> {
    if found <= limit { Ok(()) } else { Err(LoadFault::TooMuch { what, found, limit }) }
}

fn invalid(error: wasmparser::BinaryReaderError) -> LoadFault {
    LoadFault::Invalid { source: error.into() }
}

fn misplaced() -> LoadFault {
    LoadFault::Invalid { source: "a section stands outside of any component".into() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    fn refusal(wat: &str, limits: &Limits) -> Option<String> {
        check(&wat::parse_str(wat).unwrap(), limits).err().map(|fault| fault.to_string())
    }

    /// Components of which each makes two instances of the one before it.
    fn doubling(depth: usize) -> String {
        let twice = |before: usize| {
            format!(
                "(component $c{} (alias outer $top $c{before} (component $c))
                    (instance (instantiate $c)) (instance (instantiate $c)))",
                before + 1
            )
        };
        let parts: String = (0..depth).map(twice).collect();
        format!("(component $top (component $c0) {parts} (instance (instantiate $c{depth})))")
    }

    #[test]
    fn instances_are_counted_through_all_parts() {
        let limits = Limits::default();
        assert_eq!(refusal(&doubling(3), &limits), None);
        let refused = refusal(&doubling(64), &limits).unwrap();
        assert_eq!(refused, "the component has 1022 instances of its parts, 1000 are allowed");
        let few = Limits { component_instances: 14, ..Limits::default() };
        assert!(refusal(&doubling(3), &few).is_some(), "8 + 4 + 2 + 1");
        let enough = Limits { component_instances: 15, ..Limits::default() };
        assert_eq!(refusal(&doubling(3), &enough), None);
    }

    #[test]
    fn functions_and_their_lengths_are_counted() {
        let module = "(core module (func (drop (i32.const 1)) (drop (i32.const 1))) (func))";
        let two = format!("(component {module} {module})");
        assert_eq!(refusal(&two, &Limits { functions: 4, ..Limits::default() }), None);
        let refused = refusal(&two, &Limits { functions: 3, ..Limits::default() }).unwrap();
        assert_eq!(refused, "the component has 4 functions, 3 are allowed");
        let refused = refusal(&two, &Limits { function_bytes: 7, ..Limits::default() }).unwrap();
        assert_eq!(refused, "the component has 8 bytes in one function, 7 are allowed");
    }

    #[test]
    fn memory_at_the_start_is_counted() {
        let two = "(component (core module (memory 2)) (core module (memory 3)))";
        assert_eq!(refusal(two, &Limits { memory_bytes: 5 << 16, ..Limits::default() }), None);
        assert!(refusal(two, &Limits { memory_bytes: 4 << 16, ..Limits::default() }).is_some());
    }

    #[test]
    fn components_do_not_nest_without_end() {
        let nested = format!("{}{}", "(component ".repeat(20), ")".repeat(20));
        let refused = refusal(&nested, &Limits::default()).unwrap();
        assert_eq!(refused, "the component has 17 components inside each other, 16 are allowed");
    }

    #[test]
    fn instances_of_components_from_elsewhere_are_refused() {
        let imported = "(component (import \"c\" (component $c)) (instance (instantiate $c)))";
        let refused = check(&wat::parse_str(imported).unwrap(), &Limits::default()).unwrap_err();
        assert!(matches!(refused, LoadFault::Invalid { .. }));
    }
}
