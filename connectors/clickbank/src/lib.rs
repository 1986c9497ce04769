//! ClickBank, affiliate side: orders and their refunds by day; see network.toml.
//!
//! Facts: ClickBank's own XSD as `OcelliSolutions/OpenClickBank` has it, tested against live accounts (2025-08), and
//! <https://support.clickbank.com/en/articles/10535407-orders-api>, read 2026-11; see README.md.

mod orders;

sluice_connector::declared!("network.toml");
