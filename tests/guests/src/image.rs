//! Values of the contract's types as bytes of a guest's memory, by the canonical ABI.

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use wit_parser::{Int, Resolve, SizeAlign, Type, TypeDef, TypeDefKind};

/// Where the image begins. What lies before is zero, and zero is an empty answer: no requests, `done`, nothing mapped.
const BASE: u32 = 4_096;

/// Bytes of a guest's memory, and the types that say how values lie in it.
///
/// A record may lack fields, and what lacks is zero: no text, no items, none, the first case. What no honest guest
/// says is written as objects in place of a text or list: `{"bytes": […]}` for a text that may be no UTF-8,
/// `{"times": [item, n]}` for many of one, `{"count": n, "at": address}` for a list of which only the length is real.
pub(crate) struct Image<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
    bytes: Vec<u8>,
}

impl<'a> Image<'a> {
    pub(crate) fn new(resolve: &'a Resolve) -> Self {
        let mut sizes = SizeAlign::default();
        sizes.fill(resolve);
        Self { resolve, sizes, bytes: Vec::new() }
    }

    /// The image as a data segment's text, and the address behind it.
    pub(crate) fn data(&self) -> (String, u32) {
        let text = self.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        (text, BASE + u32::try_from(self.bytes.len()).unwrap_or(u32::MAX / 2))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The address of a data segment with [`Image::data`].
    pub(crate) const fn base() -> u32 {
        BASE
    }

    /// Puts a value into memory and gives its address.
    pub(crate) fn store(&mut self, ty: &Type, value: &Value) -> anyhow::Result<u32> {
        let bytes = self.lower(ty, value)?;
        Ok(self.put(&bytes))
    }

    /// Puts bytes at an address that suits any type of the contract.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let address = BASE + u32::try_from(self.bytes.len()).unwrap_or(u32::MAX / 2);
        self.bytes.extend_from_slice(bytes);
        address
    }

    fn lower(&mut self, ty: &Type, value: &Value) -> anyhow::Result<Vec<u8>> {
        let number = || value.as_i64().with_context(|| format!("{value} is no number"));
        Ok(match ty {
            Type::Bool => vec![u8::from(value.as_bool().with_context(|| format!("{value} is no bool"))?)],
            Type::U8 | Type::S8 => vec![number()? as u8],
            Type::U16 | Type::S16 => (number()? as u16).to_le_bytes().to_vec(),
            Type::U32 | Type::S32 => (number()? as u32).to_le_bytes().to_vec(),
            Type::U64 | Type::S64 => number()?.to_le_bytes().to_vec(),
            Type::String => self.text(value)?,
            Type::Id(id) => {
                let resolve = self.resolve;
                self.defined(ty, &resolve.types[*id], value)?
            }
            other => bail!("the contract has no {other:?}"),
        })
    }

    fn defined(&mut self, ty: &Type, defined: &TypeDef, value: &Value) -> anyhow::Result<Vec<u8>> {
        match &defined.kind {
            TypeDefKind::Type(inner) => self.lower(inner, value),
            TypeDefKind::List(item) => self.list(item, value),
            TypeDefKind::Record(record) => {
                let given = value.as_object().with_context(|| format!("{value} is no record"))?;
                let known = |name: &String| record.fields.iter().any(|field| field.name == *name);
                ensure!(given.keys().all(known), "{value} has a field that the record lacks");
                let fields: Vec<(Type, &Value)> = record
                    .fields
                    .iter()
                    .map(|field| (field.ty, given.get(&field.name).unwrap_or(&Value::Null)))
                    .collect();
                self.fields(ty, &fields)
            }
            TypeDefKind::Tuple(tuple) => {
                let given = value.as_array().with_context(|| format!("{value} is no tuple"))?;
                let fields: Vec<(Type, &Value)> = tuple.types.iter().copied().zip(given).collect();
                self.fields(ty, &fields)
            }
            TypeDefKind::Option(inner) => match value {
                Value::Null => Ok(self.zero(ty)),
                some => self.case(ty, Int::U8, 1, Some(inner), some),
            },
            TypeDefKind::Result(result) => {
                let (name, payload) = named(value)?;
                let (tag, payload_type) = match name {
                    "ok" => (0, result.ok.as_ref()),
                    _ => (1, result.err.as_ref()),
                };
                self.case(ty, Int::U8, tag, payload_type, payload)
            }
            TypeDefKind::Variant(variant) => {
                let (name, payload) = named(value)?;
                let at = variant.cases.iter().position(|case| case.name == name);
                let at = at.with_context(|| format!("`{name}` is no case"))?;
                self.case(ty, variant.tag(), at, variant.cases[at].ty.as_ref(), payload)
            }
            TypeDefKind::Enum(of) => {
                let name = value.as_str().with_context(|| format!("{value} is no case"))?;
                let at = of.cases.iter().position(|case| case.name == name);
                self.case(ty, of.tag(), at.with_context(|| format!("`{name}` is no case"))?, None, &Value::Null)
            }
            other => bail!("the contract's answers have no {other:?}"),
        }
    }

    fn fields(&mut self, ty: &Type, fields: &[(Type, &Value)]) -> anyhow::Result<Vec<u8>> {
        let mut bytes = self.zero(ty);
        let types: Vec<Type> = fields.iter().map(|(ty, _)| *ty).collect();
        let offsets: Vec<usize> =
            self.sizes.field_offsets(&types).into_iter().map(|(offset, _)| offset.size_wasm32()).collect();
        for ((field, value), offset) in fields.iter().zip(offsets) {
            if !value.is_null() {
                let lowered = self.lower(field, value)?;
                bytes[offset..offset + lowered.len()].copy_from_slice(&lowered);
            }
        }
        Ok(bytes)
    }

    fn case(
        &mut self,
        ty: &Type,
        tag: Int,
        at: usize,
        payload: Option<&Type>,
        value: &Value,
    ) -> anyhow::Result<Vec<u8>> {
        let mut bytes = self.zero(ty);
        bytes[0] = u8::try_from(at)?;
        if let (Some(payload), false) = (payload, value.is_null()) {
            let lowered = self.lower(payload, value)?;
            // A payload lies behind the tag, where the most aligned of all payloads may lie.
            let offset = match self.type_kind(ty) {
                TypeDefKind::Variant(variant) => {
                    self.sizes.payload_offset(tag, variant.cases.iter().map(|c| c.ty.as_ref()))
                }
                TypeDefKind::Result(result) => {
                    self.sizes.payload_offset(tag, [result.ok.as_ref(), result.err.as_ref()])
                }
                _ => self.sizes.payload_offset(tag, [Some(payload)]),
            };
            let offset = offset.size_wasm32();
            bytes[offset..offset + lowered.len()].copy_from_slice(&lowered);
        }
        Ok(bytes)
    }

    fn type_kind(&self, ty: &Type) -> &TypeDefKind {
        let Type::Id(mut id) = *ty else { return &TypeDefKind::Unknown };
        while let TypeDefKind::Type(Type::Id(inner)) = &self.resolve.types[id].kind {
            id = *inner;
        }
        &self.resolve.types[id].kind
    }

    fn list(&mut self, item: &Type, value: &Value) -> anyhow::Result<Vec<u8>> {
        if let Some(count) = value.get("count") {
            let at = value["at"].as_u64().context("a list of a count lies somewhere: `at`")?;
            return Ok(pair(u32::try_from(at)?, u32::try_from(count.as_u64().context("no count")?)?));
        }
        if let (Type::U8, Some(text)) = (item, value.as_str()) {
            let address = self.put(text.as_bytes());
            return Ok(pair(address, u32::try_from(text.len())?));
        }
        let (mut bytes, mut count) = (Vec::new(), 0_u32);
        for (value, times) in items(value)? {
            let lowered = self.lower(item, value)?;
            bytes.extend(lowered.repeat(usize::try_from(times)?));
            count += u32::try_from(times)?;
        }
        Ok(pair(self.put(&bytes), count))
    }

    fn text(&mut self, value: &Value) -> anyhow::Result<Vec<u8>> {
        let bytes = match value {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Object(odd) if odd.contains_key("count") => return self.list(&Type::U8, value),
            Value::Object(odd) if odd.contains_key("bytes") => {
                let numbers = odd["bytes"].as_array().context("`bytes` is no list")?;
                numbers.iter().map(|byte| byte.as_u64().unwrap_or_default() as u8).collect()
            }
            Value::Object(_) => {
                let parts = items(value)?;
                let repeat = |(text, times): (&Value, u64)| text.as_str().unwrap_or_default().repeat(times as usize);
                parts.into_iter().map(repeat).collect::<String>().into_bytes()
            }
            other => bail!("{other} is no text"),
        };
        let address = self.put(&bytes);
        Ok(pair(address, u32::try_from(bytes.len())?))
    }

    fn zero(&self, ty: &Type) -> Vec<u8> {
        vec![0; self.sizes.size(ty).size_wasm32()]
    }
}

/// What a list holds, and how often.
fn items(value: &Value) -> anyhow::Result<Vec<(&Value, u64)>> {
    if let Some(times) = value.get("times") {
        return Ok(vec![(&times[0], times[1].as_u64().context("`times` is an item and a number")?)]);
    }
    Ok(value.as_array().with_context(|| format!("{value} is no list"))?.iter().map(|item| (item, 1)).collect())
}

/// The case and payload of `"case"` or `{"case": payload}`.
fn named(value: &Value) -> anyhow::Result<(&str, &Value)> {
    match value {
        Value::String(name) => Ok((name, &Value::Null)),
        Value::Object(case) if case.len() == 1 => {
            case.iter().next().map(|(name, payload)| (name.as_str(), payload)).context("no case")
        }
        other => bail!("{other} is no case"),
    }
}

fn pair(address: u32, length: u32) -> Vec<u8> {
    [address.to_le_bytes(), length.to_le_bytes()].concat()
}
