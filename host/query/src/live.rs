//! `is_live(content_hash)`: whether a version says that its transaction is there.
//!
//! A version whose content hash is of zeros is a *tombstone*: the network no longer reports the transaction, or a
//! replay removed it, whatever its `change` says. This is the only definition: `unified.live_transactions` and all that
//! counts transactions stand on it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Scalar};
use arrow::compute::cast;
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::DataType;
use datafusion::common::plan_err;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use sluice_lake::TOMBSTONE;

/// The function. A version without a hash is live.
pub(crate) fn is_live() -> ScalarUDF {
    let takes = [DataType::Binary, DataType::BinaryView, DataType::LargeBinary];
    let takes = takes.map(|hash| TypeSignature::Exact(vec![hash])).to_vec();
    ScalarUDF::from(IsLive { signature: Signature::one_of(takes, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct IsLive {
    signature: Signature,
}

impl ScalarUDFImpl for IsLive {
    fn name(&self) -> &str {
        "is_live"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [hashes] = arrays.as_slice() else { return plan_err!("is_live takes a content_hash") };
        let tombstone: ArrayRef = Arc::new(BinaryArray::from_iter_values([TOMBSTONE]));
        let tombstone = Scalar::new(cast(&tombstone, hashes.data_type())?);
        Ok(ColumnarValue::Array(Arc::new(distinct(hashes, &tombstone)?)))
    }
}
