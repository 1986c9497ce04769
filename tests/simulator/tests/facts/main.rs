//! The server against the facts: each network is asked as its documents say, by a client that knows only HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod awin;
mod cj;
mod client;
mod faults;
mod rakuten;
mod shareasale;
mod tradetracker;
mod world;
