//! What was erased is replaced in each response, before anything of it is kept.

use bytes::Bytes;
use sluice_fetch::{Exchange, replaced_headers};

use super::Collector;
use crate::failure::{Failure, SliceError};

impl Collector {
    /// Replaces what was erased in a response, before anything of it is kept.
    pub(super) async fn erase(&self, exchange: &mut Exchange) -> Result<(), SliceError> {
        if self.erased.is_empty() {
            return Ok(());
        }
        for (_, value) in &mut exchange.headers {
            if let Some(other) = self.erased.replaced_text(value) {
                *value = other;
            }
        }
        let (erased, body) = (self.erased.clone(), exchange.body.clone());
        let replaced = tokio::task::spawn_blocking(move || erased.replaced(&body));
        let replaced = replaced.await.map_err(|error| SliceError::from(Failure::failed(error)))?;
        if let Some(body) = replaced {
            exchange.headers = replaced_headers(&exchange.headers, body.len() as u64);
            exchange.body = Bytes::from(body);
            exchange.wire = exchange.body.clone();
        }
        Ok(())
    }
}
