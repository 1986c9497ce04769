//! Results as text and files, written as the rows come.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::csv::WriterBuilder as CsvBuilder;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{
    EncoderOptions, JsonFormat, Writer as JsonWriter, WriterBuilder as JsonBuilder, make_encoder,
};
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::error::Error;
use crate::result::QueryResult;

/// A table's columns are as wide as its widest cell, so it is held until it is whole: longer results are cut in several.
const TABLE_ROWS: usize = 10_000;
/// Rows of a Parquet row group, which is held until it is whole.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// How a result is written.
///
/// | | null | decimals | times | maps and lists | no rows |
/// |---|---|---|---|---|---|
/// | `table` | empty | all digits | RFC 3339 | `{a: 1}` | the header |
/// | `csv` | empty | all digits | RFC 3339 | JSON text | the header |
/// | `json` | `null` | numbers with all their digits | RFC 3339 strings | objects and arrays | `[]` |
/// | `parquet` | null | decimals | timestamps | maps and lists | a file with columns |
/// | `arrow` | null | decimals | timestamps | maps and lists | a stream with columns |
///
/// JSON is one array of objects, one line each. Its decimals are exact in the text; a reader that turns numbers into
/// doubles rounds them, so read them as decimals (`json.loads(text, parse_float=Decimal)`). Bytes are hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// RFC 4180 with a header.
    Csv,
    /// One JSON array of objects.
    Json,
    /// One Parquet file, compressed with zstd.
    Parquet,
    /// Arrow's IPC stream.
    Arrow,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Table, Self::Csv, Self::Json, Self::Parquet, Self::Arrow];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|format| format.name() == text).ok_or_else(|| Error::UnknownFormat(text.to_owned()))
    }
}

/// Writes a result as its rows come, and gives their number.
pub async fn write(mut result: QueryResult, format: Format, out: &mut (impl Write + ?Sized)) -> Result<u64, Error> {
    let failed = |source| Error::Encode { format: format.name(), source };
    let mut encoder = Encoder::new(format, result.schema()).map_err(failed)?;
    let mut bytes = Vec::new();
    let mut rows = 0;
    while let Some(batch) = result.next().await {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        // A table of huge cells is more than a text can hold.
        let encoding = catch_unwind(AssertUnwindSafe(|| encoder.encode(&batch, &mut bytes)));
        encoding.map_err(|panic| Error::panicked(&*panic))?.map_err(failed)?;
        out.write_all(&bytes).map_err(Error::Output)?;
        bytes.clear();
    }
    encoder.finish(rows, &mut bytes).map_err(failed)?;
    out.write_all(&bytes).map_err(Error::Output)?;
    out.flush().map_err(Error::Output)?;
    Ok(rows)
}

enum Encoder {
    Table { schema: SchemaRef, held: Vec<RecordBatch>, rows: usize, printed: bool },
    Csv { schema: SchemaRef, began: bool },
    Json(JsonWriter<Vec<u8>, Lines>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Arrow(StreamWriter<Vec<u8>>),
}

impl Encoder {
    fn new(format: Format, schema: SchemaRef) -> Result<Self, ArrowError> {
        Ok(match format {
            Format::Table => Self::Table { schema, held: Vec::new(), rows: 0, printed: false },
            Format::Csv => Self::Csv { schema, began: false },
            Format::Json => Self::Json(JsonBuilder::new().with_explicit_nulls(true).build(Vec::new())),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .build();
                Self::Parquet(Box::new(ArrowWriter::try_new(Vec::new(), schema, Some(properties)).map_err(arrow)?))
            }
            Format::Arrow => Self::Arrow(StreamWriter::try_new(Vec::new(), &schema)?),
        })
    }

    fn encode(&mut self, batch: &RecordBatch, bytes: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Self::Table { held, rows, printed, .. } => {
                held.push(batch.clone());
                *rows += batch.num_rows();
                if *rows >= TABLE_ROWS {
                    print_table(held, bytes)?;
                    held.clear();
                    *rows = 0;
                    *printed = true;
                }
            }
            Self::Csv { began, .. } => {
                let header = !std::mem::replace(began, true);
                CsvBuilder::new().with_header(header).build(bytes).write(&flat(batch)?)?;
            }
            Self::Json(writer) => {
                writer.write(batch)?;
                bytes.append(writer.get_mut());
            }
            Self::Parquet(writer) => {
                writer.write(batch).map_err(arrow)?;
                writer.sync()?;
                bytes.append(writer.inner_mut());
            }
            Self::Arrow(writer) => {
                writer.write(batch)?;
                bytes.append(writer.get_mut());
            }
        }
        Ok(())
    }

    fn finish(self, all_rows: u64, bytes: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Self::Table { schema, mut held, rows, printed } => {
                if rows > 0 || !printed {
                    held.push(RecordBatch::new_empty(schema));
                    print_table(&held, bytes)?;
                }
            }
            Self::Csv { schema, began } => {
                if !began {
                    let empty = RecordBatch::new_empty(schema);
                    CsvBuilder::new().with_header(true).build(bytes).write(&flat(&empty)?)?;
                }
            }
            Self::Json(_) => bytes.extend_from_slice(if all_rows == 0 { b"[]\n" } else { b"]\n" }),
            Self::Parquet(writer) => bytes.append(&mut writer.into_inner().map_err(arrow)?),
            Self::Arrow(mut writer) => {
                writer.finish()?;
                bytes.append(writer.get_mut());
            }
        }
        Ok(())
    }
}

/// A JSON array with a line per row; its end is written by [`Encoder::finish`].
#[derive(Debug, Default)]
struct Lines;

impl JsonFormat for Lines {
    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        writer.write_all(if is_first_row { b"[" } else { b",\n" })?;
        Ok(())
    }
}

fn print_table(batches: &[RecordBatch], bytes: &mut Vec<u8>) -> Result<(), ArrowError> {
    let table = pretty_format_batches_with_options(batches, &FormatOptions::default())?;
    writeln!(bytes, "{table}")?;
    Ok(())
}

/// The batch with maps, lists and structs as JSON text, because a CSV cell holds nothing nested.
fn flat(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    if !schema.fields().iter().any(|field| field.data_type().is_nested()) {
        return Ok(batch.clone());
    }
    let mut fields: Vec<FieldRef> = Vec::with_capacity(schema.fields().len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if field.data_type().is_nested() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(json_texts(field, column)?);
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// A column as JSON texts, a null where it has none: decimals are numbers with all their digits.
///
/// # Errors
/// A type that JSON can't hold.
pub fn json_texts(field: &FieldRef, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default().with_explicit_nulls(true);
    let mut encoder = make_encoder(field, column, &options)?;
    let mut text = StringBuilder::with_capacity(column.len(), column.len() * 32);
    let mut bytes = Vec::new();
    for row in 0..column.len() {
        if encoder.is_null(row) {
            text.append_null();
            continue;
        }
        bytes.clear();
        encoder.encode(row, &mut bytes);
        text.append_value(String::from_utf8_lossy(&bytes));
    }
    Ok(Arc::new(text.finish()))
}

fn arrow(error: ParquetError) -> ArrowError {
    ArrowError::ExternalError(Box::new(error))
}
