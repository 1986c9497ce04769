//! Addresses of the settings at which a service listens.

use std::net::SocketAddr;

use sluice_state::State;
use tokio::net::TcpListener;

use crate::failure::Failure;

/// Fails for an address that other machines reach while there is no token. `key`: that of the settings.
///
/// # Errors
/// A settings failure that names the key; the state store's failure.
pub async fn check_token(state: &State, key: &str, listen: SocketAddr) -> Result<(), Failure> {
    if listen.ip().is_loopback() || !state.api_tokens().await?.is_empty() {
        return Ok(());
    }
    Err(Failure::settings(format!("{key} = \"{listen}\" is reached by other machines, and there is no token"))
        .hint("make one first: sluice tokens create NAME --role read; or listen on 127.0.0.1"))
}

/// Listens at the address that a key of the settings has.
///
/// # Errors
/// A settings failure for an address that is taken.
pub async fn bind(key: &str, listen: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(listen).await.map_err(|error| {
        Failure::settings(format!("cannot listen on {listen}: {error}"))
            .hint(format!("end the program that uses the port, or set another {key} in sluice.toml"))
    })
}
