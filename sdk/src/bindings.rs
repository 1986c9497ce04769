//! The contract's types, generated from `wit/`.
#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::unwrap_used, clippy::expect_used)]

wit_bindgen::generate!({
    path: "../wit/v0.3",
    world: "network",
    generate_all,
    pub_export_macro: true,
    export_macro_name: "__export_network",
    default_bindings_module: "sluice_connector",
});
