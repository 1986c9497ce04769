//! Brightlink, publisher side: sales by their date; see network.toml.

sluice_connector::declared!("network.toml");
