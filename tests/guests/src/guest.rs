//! A component from a description in JSON.

use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value, json};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{InterfaceId, Resolve, Type};

use crate::case::repository;
use crate::image::Image;

/// What a guest may import beside its contract: the parts of WASI by which it would tell one call from another.
const WORLD: &str = "
    package sluice:guests;
    world guest {
        include sluice:connector/network@CONTRACT;
        import wasi:clocks/monotonic-clock@0.2.0;
        import wasi:random/random@0.2.0;
    }
    package wasi:clocks@0.2.0 { interface monotonic-clock { now: func() -> u64; } }
    package wasi:random@0.2.0 { interface random { get-random-u64: func() -> u64; } }
";

/// A guest's description.
///
/// | key | what |
/// |---|---|
/// | `why` | what it does, for people |
/// | `contract` | the version of its contract: `0.1.0` by default |
/// | `manifest` | fields of its manifest, over those of an honest one |
/// | `stream` | fields of its one stream, over those of an honest one |
/// | `describe`, `plan`, `follow`, `map-response` | the answer, as a value of the contract's types; or instructions that leave its address |
/// | `values` | texts in its memory by name, and answers by names like `follow-answer`, from address 4,096 on; `$name` in instructions is the address |
/// | `more` | further definitions of its core module |
/// | `pages` | pages of its memory beyond those that the answers take |
///
/// Instructions may call `$read`, `$value-at`, `$now` and `$random`; `$body` is the handle of the response's body.
#[derive(Clone, Debug)]
pub struct Guest {
    contract: String,
    description: Value,
}

impl Guest {
    /// A guest of this network; what its description doesn't say is honest and empty.
    pub fn new(network: &str, description: &Value) -> Self {
        let mut description = description.clone();
        let contract = description["contract"].as_str().unwrap_or("0.1.0").to_owned();
        let manifest = over(manifest(network, &contract, &description["stream"]), &description["manifest"]);
        description["manifest"] = manifest;
        Self { contract, description }
    }

    /// The component.
    ///
    /// # Errors
    /// What of the description makes no sense.
    pub fn component(&self) -> anyhow::Result<Vec<u8>> {
        let mut resolve = Resolve::default();
        let (contract, _) = resolve.push_path(folder(&self.contract))?;
        let package = resolve.push_str("guest.wit", &WORLD.replace("CONTRACT", &self.contract))?;
        let world = resolve.select_world(&[package], Some("guest"))?;
        let interface = *resolve.packages[contract].interfaces.get("connector").context("no interface `connector`")?;
        let mut module = wat::parse_str(self.module(&resolve, interface)?)?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        ComponentEncoder::default().module(&module)?.validate(true).encode()
    }

    /// An answer of a contract's function as a guest's memory holds it from 4,096 on, behind four bytes with its address.
    ///
    /// # Errors
    /// A value that isn't of the function's type.
    pub fn image(contract: &str, function: &str, answer: &Value) -> anyhow::Result<Vec<u8>> {
        let mut resolve = Resolve::default();
        let (contract, _) = resolve.push_path(folder(contract))?;
        let interface = *resolve.packages[contract].interfaces.get("connector").context("no interface `connector`")?;
        let mut image = Image::new(&resolve);
        let address = image.store(&answer_type(&resolve, interface, function)?, answer)?;
        Ok([&address.to_le_bytes()[..], image.bytes()].concat())
    }

    /// What `$name` in instructions stands for.
    fn values(
        &self,
        image: &mut Image<'_>,
        resolve: &Resolve,
        interface: InterfaceId,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let mut values = Vec::new();
        for (name, value) in self.description["values"].as_object().unwrap_or(&Map::new()) {
            let address = match value {
                Value::String(text) => image.put(text.as_bytes()),
                answer => image.store(&answer_type(resolve, interface, name)?, answer)?,
            };
            values.push((format!("${name}"), format!("(i32.const {address})")));
        }
        values.push(("$body".to_owned(), BODY.to_owned()));
        Ok(values)
    }

    fn module(&self, resolve: &Resolve, interface: InterfaceId) -> anyhow::Result<String> {
        let mut image = Image::new(resolve);
        let values = self.values(&mut image, resolve, interface)?;
        let fill = |text: &str| values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
        let mut function = |name: &str, default: Value| -> anyhow::Result<String> {
            let answer = self.description.get(name).unwrap_or(&default);
            if let Some(instructions) = answer.as_str() {
                return Ok(fill(instructions));
            }
            let ty = answer_type(resolve, interface, name)?;
            let address = image.store(&ty, answer).with_context(|| format!("`{name}` gives what it can't"))?;
            Ok(format!("i32.const {address}"))
        };
        let describe = function("describe", self.description["manifest"].clone())?;
        let request =
            json!({"key": "page-1", "url": [{"text": "https://api.example.com/sales"}], "yields-records": true});
        let plan = function("plan", json!({"ok": [request]}))?;
        let follow = function("follow", json!({"ok": {"verdict": "done"}}))?;
        let map = function("map-response", json!({"ok": {}}))?;
        let more = fill(self.description["more"].as_str().unwrap_or_default());
        let (data, end) = image.data();
        let heap = end.next_multiple_of(65_536);
        let pages = u64::from(heap >> 16) + 1 + self.description["pages"].as_u64().unwrap_or_default();
        let of = |name: &str| format!(r#"(export "sluice:connector/connector@{}#{name}")"#, self.contract);
        let (to_describe, to_plan, to_follow, to_map) = (of("describe"), of("plan"), of("follow"), of("map-response"));
        let slice = "(param i32 i32 i32 i32 i32 i32 i64 i64 i64 i64 i32 i32 i32 i32 i32)";
        let base = Image::base();
        let imports = imports(&[&describe, &plan, &follow, &map, &more]);
        Ok(format!(
            r#"(module
                (import "sluice:connector/responses@0.1.0" "[resource-drop]body" (func $drop (param i32)))
                {imports}
                (memory (export "memory") {pages})
                (global $heap (mut i32) (i32.const {heap}))
                (data (i32.const {base}) "{data}")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                    (global.set $heap (i32.add (local.get $at) (local.get 3)))
                    (if (i32.gt_u (global.get $heap) (i32.shl (memory.size) (i32.const 16)))
                        (then (drop (memory.grow
                            (i32.add (i32.shr_u (i32.sub (global.get $heap) (i32.shl (memory.size) (i32.const 16))) (i32.const 16)) (i32.const 1))))))
                    (local.get $at))
                {more}
                (func {to_describe} (result i32) {describe})
                (func {to_plan} {slice} (result i32) {plan})
                (func {to_follow} (param i32) (result i32) {follow} (call $drop {BODY}))
                (func {to_map} (param i32) (result i32) {map} (call $drop {BODY})))"#
        ))
    }
}

/// Instructions that leave the handle of the response's body.
const BODY: &str = "(i32.load offset=164 (local.get 0))";

/// What instructions may call, by the name that they call it by.
const IMPORTS: &[(&str, &str)] = &[
    ("$read", r#"(import "sluice:connector/responses@0.1.0" "[method]body.read" (func $read (param i32 i32 i32)))"#),
    (
        "$value-at",
        r#"(import "sluice:connector/responses@0.1.0" "[method]body.value-at" (func $value-at (param i32 i32 i32 i32)))"#,
    ),
    ("$now", r#"(import "wasi:clocks/monotonic-clock@0.2.0" "now" (func $now (result i64)))"#),
    ("$random", r#"(import "wasi:random/random@0.2.0" "get-random-u64" (func $random (result i64)))"#),
];

/// The imports that the code calls, so that most guests import the body alone.
fn imports(code: &[&String]) -> String {
    let is_called = |name: &str| code.iter().any(|code| code.contains(name));
    let called: Vec<_> = IMPORTS.iter().filter(|(name, _)| is_called(name)).map(|(_, import)| *import).collect();
    called.join(" ")
}

/// Where a version of the contract stands.
fn folder(contract: &str) -> PathBuf {
    // The draft `0.3.0-draft.4` stands where 0.3.0 will.
    let release = contract.split_once('-').map_or(contract, |(release, _)| release);
    repository().join(format!("wit/v{}", release.strip_suffix(".0").unwrap_or(release)))
}

/// What a function of the contract gives. `follow-answer` is named by what stands before its `-answer`.
fn answer_type(resolve: &Resolve, interface: InterfaceId, name: &str) -> anyhow::Result<Type> {
    let name = name.strip_suffix("-answer").unwrap_or(name);
    let function = resolve.interfaces[interface].functions.get(name);
    function.and_then(|function| function.result).with_context(|| format!("the contract has no `{name}`"))
}

/// An honest manifest.
fn manifest(network: &str, contract: &str, stream: &Value) -> Value {
    let complete = if contract == "0.1.0" { json!(true) } else { json!(["transaction"]) };
    let honest = json!({
        "name": "sales", "unified": false, "complete-windows": complete, "axes": ["transaction"], "grain": "second",
        "timezone": "UTC", "layout": {"format": {"json": "/data"}, "inputs": ["id"], "key": ["id"]},
    });
    json!({
        "network": network, "title": network, "version": "1.0.0", "hosts": ["api.example.com"],
        "streams": [over(honest, stream)], "schedule": "0 * * * *",
    })
}

/// The one object's fields over the other's.
fn over(mut below: Value, above: &Value) -> Value {
    for (name, value) in above.as_object().unwrap_or(&Map::new()) {
        below[name] = value.clone();
    }
    below
}
