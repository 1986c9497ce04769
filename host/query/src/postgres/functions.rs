//! Functions that PostgreSQL's clients call to learn where they are: most have one answer.

use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::datatypes::{DataType, Field};
use datafusion::common::utils::SingleRowListArrayBuilder;
use datafusion::common::{ScalarValue, exec_err};
use datafusion::error::Result as EngineResult;
use datafusion::execution::{FunctionRegistry, SessionState};
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Signature, SimpleScalarUDF, TypeSignature, Volatility};
use datafusion_pg_catalog::pg_catalog::has_privilege_udf::create_has_privilege_udf;

use super::PG_CATALOG;
use crate::DEFAULT_SCHEMA;

/// The version of PostgreSQL that clients take this for: they choose their questions by it.
pub const SERVER_VERSION: &str = "16.6";

/// Functions without a value here: the lake has no comments, indices, triggers or locks.
const NULL_TEXTS: [&str; 14] = [
    "col_description",
    "obj_description",
    "pg_advisory_unlock_all",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_triggerdef",
    "pg_get_viewdef",
    "pg_tablespace_location",
    "shobj_description",
];
/// Questions that are answered with yes.
const TRUE: [&str; 4] =
    ["pg_function_is_visible", "pg_operator_is_visible", "pg_opclass_is_visible", "pg_type_is_visible"];
/// What a user may do, which is to read.
const PRIVILEGES: [&str; 4] =
    ["has_column_privilege", "has_function_privilege", "has_sequence_privilege", "has_type_privilege"];
/// Parameters whose value makes no difference.
const WITHOUT_EFFECT: [&str; 2] = ["application_name", "jit"];

/// Registers them, over those of `datafusion-pg-catalog` that have the same name.
pub(super) fn register(state: &mut SessionState, user: &str) -> EngineResult<()> {
    let text = |value: &str| ScalarValue::Utf8(Some(value.to_owned()));
    let version = format!("PostgreSQL {SERVER_VERSION} (Sluice {})", env!("CARGO_PKG_VERSION"));
    let mut functions = vec![
        answer("version", text(&version)),
        answer("current_schema", text(DEFAULT_SCHEMA)),
        answer("session_user", text(user)),
        answer("pg_get_userbyid", text(user)),
        answer("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
        answer("pg_database_size", ScalarValue::Int64(None)),
        of_values("current_schemas", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), |values| {
            let all = matches!(values.first(), Some(ScalarValue::Boolean(Some(true))));
            let names = if all { vec![PG_CATALOG, DEFAULT_SCHEMA] } else { vec![DEFAULT_SCHEMA] };
            let names: Arc<dyn Array> = Arc::new(StringArray::from(names));
            Ok(SingleRowListArrayBuilder::new(names).build_list_scalar())
        }),
        of_values("current_setting", DataType::Utf8, current_setting),
        of_values("set_config", DataType::Utf8, |values| match values {
            [ScalarValue::Utf8(Some(name)), value, ..] if WITHOUT_EFFECT.contains(&name.to_lowercase().as_str()) => {
                Ok(value.clone())
            }
            _ => exec_err!("set_config sets nothing here: use SET"),
        }),
    ];
    functions.extend(NULL_TEXTS.map(|name| answer(name, ScalarValue::Utf8(None))));
    functions.extend(TRUE.map(|name| answer(name, ScalarValue::Boolean(Some(true)))));
    functions.extend(PRIVILEGES.map(create_has_privilege_udf));
    for function in functions {
        state.register_udf(Arc::new(function))?;
    }
    Ok(())
}

/// Parameters that never change; `SHOW` has a client's own.
fn current_setting(values: &[ScalarValue]) -> EngineResult<ScalarValue> {
    let Some(ScalarValue::Utf8(Some(name))) = values.first() else { return Ok(ScalarValue::Utf8(None)) };
    let value = match name.to_lowercase().as_str() {
        "search_path" => DEFAULT_SCHEMA,
        "server_version" => SERVER_VERSION,
        "server_version_num" => "160006",
        "timezone" => "UTC",
        "datestyle" => "ISO, YMD",
        "client_encoding" | "server_encoding" => "UTF8",
        "default_transaction_read_only" | "transaction_read_only" | "standard_conforming_strings" => "on",
        "transaction_isolation" | "default_transaction_isolation" => "read committed",
        "max_index_keys" => "32",
        "block_size" => "8192",
        "jit" | "is_superuser" | "in_hot_standby" => "off",
        _ if matches!(values.get(1), Some(ScalarValue::Boolean(Some(true)))) => return Ok(ScalarValue::Utf8(None)),
        name => return exec_err!("unrecognized configuration parameter \"{name}\""),
    };
    Ok(ScalarValue::Utf8(Some(value.to_owned())))
}

/// A function with one answer, whatever it is given.
fn answer(name: &'static str, value: ScalarValue) -> ScalarUDF {
    let kind = value.data_type();
    of_values(name, kind, move |_| Ok(value.clone()))
}

/// A function of constants.
fn of_values(
    name: &'static str,
    gives: DataType,
    compute: impl Fn(&[ScalarValue]) -> EngineResult<ScalarValue> + Send + Sync + 'static,
) -> ScalarUDF {
    let takes = Signature::one_of(vec![TypeSignature::Nullary, TypeSignature::VariadicAny], Volatility::Stable);
    let compute = move |arguments: &[ColumnarValue]| {
        let first = |argument: &ColumnarValue| match argument {
            ColumnarValue::Scalar(value) => Ok(value.clone()),
            ColumnarValue::Array(array) if array.is_empty() => ScalarValue::try_from(array.data_type()),
            ColumnarValue::Array(array) => ScalarValue::try_from_array(array, 0),
        };
        let values: Vec<ScalarValue> = arguments.iter().map(first).collect::<EngineResult<_>>()?;
        let values: Vec<ScalarValue> = values.into_iter().map(as_text).collect();
        Ok(ColumnarValue::Scalar(compute(&values)?))
    };
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, takes, gives, Arc::new(compute)))
}

/// Texts in one type.
fn as_text(value: ScalarValue) -> ScalarValue {
    match value {
        ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text) => ScalarValue::Utf8(text),
        other => other,
    }
}
