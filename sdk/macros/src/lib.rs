//! `declared!("network.toml")`: a connector as data, read and checked by the compiler. Nothing is parsed at run time: what
//! comes out is the Rust that one would write by hand against `sluice_connector`, which exports this macro.
//!
//! The form of the file is in `docs/connectors.md`. A mistake in it is a compile error that names the file's line.

mod columns;
mod describe;
mod document;
/// The schema of payments, programmes, aggregates and items, as the host has it.
#[path = "../../../host/model/src/unified/facts.rs"]
mod fact_schema;
mod facts;
mod mapping;
mod network;
mod pages;
mod requests;
/// The schema of the unified layer, as the host has it.
#[path = "../../../host/model/src/unified/table.rs"]
mod schema;
mod stream;
mod template;
mod tokens;

use std::path::{Path, PathBuf};

use document::Mistake;
use proc_macro::TokenStream;

/// Makes the connector that a file beside `Cargo.toml` declares, and exports it: the type is `Declared`.
#[proc_macro]
pub fn declared(input: TokenStream) -> TokenStream {
    let written = input.to_string();
    let name = written.trim().trim_matches('"').to_owned();
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let path = folder.join(&name);
    let code = match std::fs::read_to_string(&path) {
        Ok(text) => expansion(&text, &path).unwrap_or_else(|mistake| error(&format!("{name}:{mistake}"))),
        Err(cause) => error(&format!("cannot read {}: {cause}", path.display())),
    };
    code.parse().unwrap_or_else(|cause| error_stream(&format!("{name}: no Rust comes of it: {cause}")))
}

fn error(text: &str) -> String {
    format!("::core::compile_error!({text:?});")
}

fn error_stream(text: &str) -> TokenStream {
    error(text).parse().unwrap_or_default()
}

/// The Rust of a declared connector.
fn expansion(text: &str, path: &Path) -> Result<String, Mistake> {
    let network = network::read(text)?;
    let mut code = format!("const _: &str = ::core::include_str!({:?});\n", path.display().to_string());
    code.push_str(&describe::code(&network));
    code.push_str(&requests::code(&network));
    code.push_str(&mapping::code(&network));
    code.push_str(&connector(&network));
    Ok(code)
}

/// The implementation of the trait, and the export.
fn connector(network: &network::Network) -> String {
    let doc = format!("The connector of {}, as its `network.toml` declares it.", network.title);
    let plan = match &network.hooks.plan {
        Some(plan) => format!("declared_settings(slice)?; {plan}(slice)"),
        None => "declared_settings(slice)?; declared_plan(slice)".to_owned(),
    };
    format!(
        "#[doc = {doc:?}]
        pub struct Declared;
        impl ::sluice_connector::Connector for Declared {{
            fn describe() -> ::sluice_connector::Manifest {{ declared_manifest() }}
            fn plan(slice: &::sluice_connector::Slice)
                -> Result<Vec<::sluice_connector::Request>, ::sluice_connector::Refusal> {{ {plan} }}
            fn follow(slice: &::sluice_connector::Slice, request: &::sluice_connector::Request,
                response: &::sluice_connector::Response)
                -> Result<::sluice_connector::Judgement, ::sluice_connector::Refusal> {{
                Ok(declared_follow(slice, request, response))
            }}
            fn map(slice: &::sluice_connector::Slice, request: &::sluice_connector::Request,
                response: &::sluice_connector::Response, records: &::sluice_connector::Records,
                out: &mut ::sluice_connector::Output) -> Result<(), ::sluice_connector::Refusal> {{
                declared_map(slice, request, response, records, out)
            }}
        }}
        ::sluice_connector::export!(Declared);\n"
    )
}

#[cfg(test)]
mod tests;
