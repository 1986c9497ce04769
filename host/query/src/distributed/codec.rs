//! Scans on their way to a worker.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::bytes::Serializeable;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use serde::{Deserialize, Serialize};

use super::scan::{LakeScan, ScanFile, Scanned};
use super::worker::WorkerLake;

/// Makes scans of bytes, and bytes of scans.
#[derive(Debug)]
pub(super) struct LakeScanCodec {
    /// The lake as this worker sees it; none on a host that only sends.
    lake: Option<Arc<WorkerLake>>,
}

impl LakeScanCodec {
    pub(super) fn of_coordinator() -> Self {
        Self { lake: None }
    }

    pub(super) fn of_worker(lake: Arc<WorkerLake>) -> Self {
        Self { lake: Some(lake) }
    }
}

/// A scan, without its plan.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentScan {
    folder: String,
    id: String,
    version: u64,
    projection: Option<Vec<usize>>,
    /// Each as DataFusion's protobuf.
    filters: Vec<Vec<u8>>,
    files: Option<Vec<ScanFile>>,
    /// An Arrow stream without rows.
    schema: Vec<u8>,
    partitions: usize,
}

impl PhysicalExtensionCodec for LakeScanCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(lake) = self.lake.clone() else { return internal_err!("this host takes no parts of queries") };
        let sent: SentScan = serde_json::from_slice(bytes).map_err(unreadable)?;
        let filters = sent.filters.iter().map(|filter| Expr::from_bytes_with_ctx(filter, context));
        let scanned = Scanned {
            folder: sent.folder,
            id: sent.id,
            version: sent.version,
            projection: sent.projection,
            filters: filters.collect::<Result<_>>()?,
            files: sent.files,
        };
        Ok(Arc::new(LakeScan::sent(scanned, schema_of(&sent.schema)?, sent.partitions, lake)))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let Some(scan) = node.downcast_ref::<LakeScan>() else {
            return internal_err!("{} can't be sent to another host", node.name());
        };
        let Scanned { folder, id, version, projection, filters, files } = scan.scanned().clone();
        let filters = filters.iter().map(|filter| filter.to_bytes().map(|bytes| bytes.to_vec()));
        let sent = SentScan {
            folder,
            id,
            version,
            projection,
            filters: filters.collect::<Result<_>>()?,
            files,
            schema: schema_bytes(&scan.schema())?,
            partitions: scan.partitions(),
        };
        serde_json::to_writer(bytes, &sent).map_err(unreadable)
    }
}

fn unreadable(error: serde_json::Error) -> DataFusionError {
    internal_datafusion_err!("a scan between hosts: {error}")
}

fn schema_bytes(schema: &Schema) -> Result<Vec<u8>> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.finish()?;
    Ok(writer.into_inner()?)
}

fn schema_of(bytes: &[u8]) -> Result<SchemaRef> {
    Ok(StreamReader::try_new(bytes, None)?.schema())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use arrow::datatypes::{DataType, Field};
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn a_schema_and_a_filter_arrive_as_they_were() {
        let amount = Field::new("amount", DataType::Decimal128(18, 6), true);
        let amount = amount.with_metadata(HashMap::from([("a".to_owned(), "b".to_owned())]));
        let schema = Schema::new(vec![amount, Field::new("month", DataType::Utf8View, false)]);
        assert_eq!(*schema_of(&schema_bytes(&schema).unwrap()).unwrap(), schema);
        let filter = col("month").eq(lit("2026-01")).and(col("amount").is_not_null());
        let sent = filter.to_bytes().unwrap();
        assert_eq!(Expr::from_bytes_with_ctx(&sent, &TaskContext::default()).unwrap(), filter);
    }
}
