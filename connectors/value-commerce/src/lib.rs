//! ValueCommerce, affiliate side: orders by order date or by approval; see network.toml.
//!
//! Facts: <https://pub-docs.valuecommerce.ne.jp/docs/as-78-order-report-api/> as clients cite it, and an answer recorded for the
//! advertiser's side (2020-11), read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
