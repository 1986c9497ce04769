//! Functions that make a value as large as a number says: `repeat('x', 1000000000000)`.
//!
//! They reserve memory for all of it at once. If the system has none, the process ends without an error, and nothing that
//! measures a query from outside can prevent it. So what they would make is computed first.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::resources_err;
use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// The functions, and the bytes of what each unit of their second argument makes at most; none: as many as their first
/// argument has.
const GROWING: [(&str, Option<u64>); 5] =
    [("repeat", None), ("array_repeat", None), ("lpad", Some(4)), ("rpad", Some(4)), ("array_resize", Some(16))];

/// Replaces the functions by ones that make no more than so many bytes at once.
pub(crate) fn bound(functions: &mut dyn FunctionRegistry, most_bytes: usize) -> Result<()> {
    for (name, unit_bytes) in GROWING {
        let inner = functions.udf(name)?;
        functions.register_udf(Arc::new(ScalarUDF::from(Bounded { inner, unit_bytes, most_bytes })))?;
    }
    Ok(())
}

/// A function whose results are bounded.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    unit_bytes: Option<u64>,
    most_bytes: usize,
}

impl Bounded {
    /// Fails if the results would be too large.
    fn check(&self, arguments: &ScalarFunctionArgs) -> Result<()> {
        let [first, count, ..] = arguments.args.as_slice() else { return Ok(()) };
        let counts = cast(&array(count)?, &DataType::Int64)?;
        let counts = counts.as_primitive::<Int64Type>();
        let units =
            counts.iter().flatten().fold(0_u64, |sum, count| sum.saturating_add(u64::try_from(count).unwrap_or(0)));
        // Of one number for many values each makes as many.
        let times = match (first, count) {
            (ColumnarValue::Array(values), ColumnarValue::Scalar(_)) => values.len() as u64,
            _ => 1,
        };
        let unit_bytes = match self.unit_bytes {
            Some(bytes) => bytes,
            None => {
                let values = array(first)?;
                (values.to_data().get_slice_memory_size()? as u64).div_ceil(values.len().max(1) as u64).max(1)
            }
        };
        let bytes = units.saturating_mul(times).saturating_mul(unit_bytes);
        if bytes > self.most_bytes as u64 {
            return resources_err!("{} would make {bytes} bytes at once", self.inner.name());
        }
        Ok(())
    }
}

fn array(value: &ColumnarValue) -> Result<ArrayRef> {
    match value {
        ColumnarValue::Array(array) => Ok(Arc::clone(array)),
        ColumnarValue::Scalar(scalar) => scalar.to_array(),
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(types)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(types)
    }

    fn simplify(&self, arguments: Vec<Expr>, context: &SimplifyContext) -> Result<ExprSimplifyResult> {
        self.inner.simplify(arguments, context)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.check(&arguments)?;
        self.inner.invoke_with_args(arguments)
    }
}
