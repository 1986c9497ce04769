//! What the service asks of a query's process, as JSON on its standard input.

use serde::{Deserialize, Serialize};

/// A question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueryRequest {
    /// The rows of a query.
    Rows {
        sql: String,
        /// The client's messages with the values of its parameters, in base64.
        parameters: Vec<String>,
    },
    /// The columns of a query and the types of its parameters.
    Columns { sql: String },
    /// Schemas.
    Schemas {
        catalog: Option<String>,
        /// As for LIKE.
        pattern: Option<String>,
    },
    /// Tables.
    Tables {
        catalog: Option<String>,
        /// As for LIKE.
        schema_pattern: Option<String>,
        /// As for LIKE.
        name_pattern: Option<String>,
        /// All without any.
        types: Vec<String>,
        with_columns: bool,
    },
}
