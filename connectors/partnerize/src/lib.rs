//! Partnerize, publisher side: the items of conversions, by the conversion's date, its last change or its approval; see
//! network.toml.
//!
//! Facts: <https://api-docs.partnerize.com/partner/> and Partnerize's OpenAPI document, read 2026-11; see README.md.

mod items;

sluice_connector::declared!("network.toml");
