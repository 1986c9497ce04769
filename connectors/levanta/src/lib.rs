//! Levanta, creator side: performance by day, brand, product and source; see network.toml.
//!
//! Facts: a client of `api.levanta.io` and <https://knowledge.levanta.io/creator-api>, read 2026-11; see README.md.

mod reports;

sluice_connector::declared!("network.toml");
