//! Tradedoubler, publisher side: transactions by their date or by their last change, and payments; see network.toml.
//!
//! Facts: Tradedoubler's own API Blueprint (`tradedoubler/publicapi-docs`, 2022-07), read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
