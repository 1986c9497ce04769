//! Daisycon, publisher side: the parts of transactions, by sale date or last change; see network.toml.
//!
//! Facts: clients of <https://developers.daisycon.com/>, read 2026-11; see README.md.

mod parts;

sluice_connector::declared!("network.toml");
