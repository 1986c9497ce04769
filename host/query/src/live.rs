//! `is_live(content_hash)`: whether a version is of a transaction, or another fact, that is there.
//!
//! A version whose content hash is of zeros is a *tombstone*: the network no longer reports the transaction, or a
//! replay removed it, whatever its `change` is. This is the only definition: `unified.live_transactions`, the views of the
//! latest facts of other kinds, and all that counts transactions depend on it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Scalar};
use arrow::compute::cast;
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use sluice_lake::TOMBSTONE;

use crate::function::of_arrays;

/// The function. A version without a hash is live.
pub(crate) fn is_live() -> ScalarUDF {
    let takes = [DataType::Binary, DataType::BinaryView, DataType::LargeBinary];
    let takes = takes.map(|hash| TypeSignature::Exact(vec![hash])).to_vec();
    of_arrays("is_live", Signature::one_of(takes, Volatility::Immutable), DataType::Boolean, |arrays| {
        let [hashes] = arrays else { return plan_err!("is_live takes a content_hash") };
        let tombstone: ArrayRef = Arc::new(BinaryArray::from_iter_values([TOMBSTONE]));
        let tombstone = Scalar::new(cast(&tombstone, hashes.data_type())?);
        Ok(Arc::new(distinct(hashes, &tombstone)?))
    })
}
