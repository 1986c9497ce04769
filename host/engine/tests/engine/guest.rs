//! Components from a few lines of WebAssembly text: each function of the contract is a body, each answer an image of
//! memory in the canonical ABI.

use std::fmt::Write as _;
use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where the image begins. What lies before is zero, and zero is an empty answer: no requests, `done`, nothing mapped.
const BASE: u32 = 4_096;
/// Where the guest's own allocations begin.
const HEAP: u32 = 65_536;

/// Leaves the handle of the response's body, in `follow` and `map-response`.
pub(crate) const BODY: &str = "(i32.load offset=164 (local.get 0))";

/// A connector of one native stream `sales`.
pub(crate) struct Guest {
    pub(crate) network: String,
    pub(crate) version: String,
    pub(crate) host: String,
    /// Instructions of the contract's functions; each leaves the address of its answer.
    pub(crate) plan: String,
    pub(crate) follow: String,
    pub(crate) map: String,
    /// Further definitions of the core module.
    pub(crate) more: String,
    pub(crate) image: Image,
}

impl Guest {
    pub(crate) fn new(network: &str, version: &str) -> Self {
        let empty = || "i32.const 0".to_owned();
        Self {
            network: network.to_owned(),
            version: version.to_owned(),
            host: "api.example.com".to_owned(),
            plan: empty(),
            follow: empty(),
            map: empty(),
            more: String::new(),
            image: Image::default(),
        }
    }

    pub(crate) fn component(mut self) -> Vec<u8> {
        let manifest = self.manifest();
        let mut module = wat::parse_str(self.module(manifest)).expect("a module");
        let mut resolve = Resolve::default();
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit/v0.1");
        let (package, _) = resolve.push_path(wit).expect("the contract");
        let world = resolve.select_world(&[package], Some("network")).expect("its world");
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        ComponentEncoder::default().module(&module).expect("a guest").validate(true).encode().expect("a component")
    }

    fn module(&self, manifest: u32) -> String {
        let Self { plan, follow, map, more, .. } = self;
        let body = BODY;
        let mut data = String::new();
        self.image.bytes.iter().for_each(|byte| write!(data, "\\{byte:02x}").expect("text"));
        let of = |name: &str| format!(r#"(export "sluice:connector/connector@0.1.0#{name}")"#);
        let (describe, to_plan, to_follow, to_map) = (of("describe"), of("plan"), of("follow"), of("map-response"));
        let slice = "(param i32 i32 i32 i32 i32 i32 i64 i64 i64 i64 i32 i32 i32 i32 i32)";
        format!(
            r#"(module
                (import "sluice:connector/responses@0.1.0" "[resource-drop]body" (func $drop (param i32)))
                (import "sluice:connector/responses@0.1.0" "[method]body.read" (func $read (param i32 i32 i32)))
                (import "sluice:connector/responses@0.1.0" "[method]body.value-at"
                    (func $value-at (param i32 i32 i32 i32)))
                (memory (export "memory") 2)
                (global $heap (mut i32) (i32.const {HEAP}))
                (data (i32.const {BASE}) "{data}")
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
                    (global.set $heap (i32.add (local.get $at) (local.get 3)))
                    (local.get $at))
                {more}
                (func {describe} (result i32) i32.const {manifest})
                (func {to_plan} {slice} (result i32) {plan})
                (func {to_follow} (param i32) (result i32) {follow} (call $drop {body}))
                (func {to_map} (param i32) (result i32) {map} (call $drop {body})))"#
        )
    }

    fn manifest(&mut self) -> u32 {
        let image = &mut self.image;
        let mut stream = Vec::new();
        stream.extend(image.string("sales"));
        stream.extend([0, 1, 0, 0]); // not unified, complete windows
        stream.extend(image.list(1, &[0])); // axis: transaction
        stream.extend([0; 8]); // no max-window-secs
        stream.extend([0; 4]); // grain: second
        stream.extend(image.string("UTC"));
        stream.extend([0; 4]); // format: json
        stream.extend(image.string("/data"));
        stream.extend([0; 28 + 24]); // the rest of the format; pins, inputs, key
        let mut manifest = Vec::new();
        manifest.extend(image.string(&self.network));
        manifest.extend(image.string("Test"));
        manifest.extend(image.string(&self.version));
        let host = image.string(&self.host);
        manifest.extend(image.list(1, &host));
        manifest.extend(image.list(1, &stream));
        manifest.extend([0; 24 + 16]); // settings, secrets, tokens; rate
        manifest.extend(image.string("0 * * * *"));
        manifest.extend([0; 16]); // look-back, statuses
        image.put(&manifest)
    }
}

/// Bytes of the guest's memory from [`BASE`] on.
#[derive(Default)]
pub(crate) struct Image {
    bytes: Vec<u8>,
}

impl Image {
    /// Puts bytes at an address that suits any type of the contract.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        let address = BASE + u32::try_from(self.bytes.len()).expect("a small image");
        self.bytes.extend_from_slice(bytes);
        assert!(BASE as usize + self.bytes.len() < HEAP as usize, "the image reaches into the heap");
        address
    }

    /// A list of so many items that lie one after another: its address and length.
    pub(crate) fn list(&mut self, count: u32, items: &[u8]) -> [u8; 8] {
        let address = self.put(items).to_le_bytes();
        let mut list = [0; 8];
        list[..4].copy_from_slice(&address);
        list[4..].copy_from_slice(&count.to_le_bytes());
        list
    }

    pub(crate) fn string(&mut self, text: &str) -> [u8; 8] {
        self.list(u32::try_from(text.len()).expect("a short text"), text.as_bytes())
    }

    /// A GET request.
    pub(crate) fn request(&mut self, key: &[u8]) -> Vec<u8> {
        let mut op = vec![0; 4]; // text
        op.extend(self.string("https://api.example.com/"));
        let mut request = Vec::new();
        request.extend(self.list(u32::try_from(key.len()).expect("a short key"), key));
        request.extend([0; 4]); // get
        request.extend(self.list(1, &op));
        request.extend([0; 8 + 12 + 8]); // headers, body, state
        request.extend([1, 0, 0, 0]); // yields records
        request
    }

    /// The answer `ok(requests)` of `plan`.
    pub(crate) fn requests(&mut self, keys: &[&[u8]]) -> u32 {
        let requests: Vec<u8> = keys.iter().flat_map(|key| self.request(key)).collect();
        let mut answer = vec![0; 4];
        answer.extend(self.list(u32::try_from(keys.len()).expect("few"), &requests));
        answer.extend([0; 4]);
        self.put(&answer)
    }

    /// The answer `err(refusal)` of any function, about settings.
    pub(crate) fn refusal(&mut self, text: &str) -> u32 {
        let mut answer = vec![1, 0, 0, 0, 1, 0, 0, 0];
        answer.extend(self.string(text));
        self.put(&answer)
    }
}
