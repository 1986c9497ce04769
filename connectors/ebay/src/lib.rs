//! eBay Partner Network, publisher side: the transaction detail report as CSV, whose rows are changes; see network.toml.
//!
//! Facts: clients that cite eBay's Transaction Detail Report API, read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
