//! 2Performant, affiliate side: commissions by the day of their creation; see network.toml.
//!
//! Facts: 2Performant's own PHP library (`2Parale/2Performant-php`, 2026-07), a client tried live (2026-10) and an export of a live
//! answer (2019), read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
