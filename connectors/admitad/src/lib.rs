//! Admitad, publisher side: actions by their date or by their last change; see network.toml.
//!
//! Facts: <https://developers.admitad.com/en/doc/api_en/methods/statistics/statistics-actions/>, read 2026-11; see README.md.

sluice_connector::declared!("network.toml");
