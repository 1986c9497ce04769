//! The columns of the system tables, as data: what the tables are made with, and what `docs/data-model.md` says of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use sluice_model::unified::ColumnKind;

use crate::error::Error;
use crate::table::assemble;

/// A table of the schema `meta`.
#[derive(Clone, Copy, Debug)]
pub struct SystemTable {
    /// Its name without the schema.
    pub name: &'static str,
    /// What a row is, in one sentence for users.
    pub documentation: &'static str,
    /// Its columns, in their order.
    pub columns: &'static [SystemColumn],
}

/// A column of a system table, as `docs/data-model.md` lists it.
#[derive(Clone, Copy, Debug)]
pub struct SystemColumn {
    /// As in SQL.
    pub name: &'static str,
    /// What it holds.
    pub kind: ColumnKind,
    /// One sentence for users.
    pub documentation: &'static str,
}

impl SystemTable {
    /// Its columns. All are nullable, so that rows of an earlier release may lack the later ones.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields().collect::<Vec<_>>()))
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> {
        self.columns.iter().map(|column| Field::new(column.name, column.kind.data_type(), true))
    }

    /// Rows of the table from its columns, in any order.
    ///
    /// # Errors
    /// [`Error::Column`] for a column that is missing or of another type.
    pub(super) fn rows<const N: usize>(&self, columns: [(&str, ArrayRef); N]) -> Result<RecordBatch, Error> {
        let table = format!("meta.{}", self.name);
        let column = |field: &Field| {
            let given = columns.iter().find(|(name, _)| name == field.name()).map(|(_, array)| array.clone());
            given.ok_or_else(|| Error::Column {
                table: table.clone(),
                column: field.name().clone(),
                found: "missing".to_owned(),
                expected: field.data_type().to_string(),
            })
        };
        let fields: Vec<Field> = self.fields().collect();
        let arrays = fields.iter().map(column).collect::<Result<Vec<_>, Error>>()?;
        assemble(&table, fields, arrays)
    }
}

/// All system tables that the lake writes.
pub const SYSTEM_TABLES: &[SystemTable] = &[
    RUNS,
    REQUESTS,
    REJECTS,
    RESOLVED_REJECTS,
    DOUBT_EVENTS,
    ALARM_EVENTS,
    COVERAGE,
    COVERAGE_STATE,
    ABSENT,
    CONNECTORS,
    COLUMNS,
    ACCOUNTS,
];

const fn column(name: &'static str, kind: ColumnKind, documentation: &'static str) -> SystemColumn {
    SystemColumn { name, kind, documentation }
}

const fn text(name: &'static str, documentation: &'static str) -> SystemColumn {
    column(name, ColumnKind::Text, documentation)
}

const fn time(name: &'static str, documentation: &'static str) -> SystemColumn {
    column(name, ColumnKind::Time, documentation)
}

const fn count(name: &'static str, documentation: &'static str) -> SystemColumn {
    column(name, ColumnKind::Int64, documentation)
}

const fn flag(name: &'static str, documentation: &'static str) -> SystemColumn {
    column(name, ColumnKind::Flag, documentation)
}

const ERROR_KIND: SystemColumn = text(
    "error_kind",
    "What the error needs: `credentials`, `settings`, `format`, `guest`, `host`, `doubt`, `quota` or `network`.",
);
const ACCOUNT: SystemColumn = text("account", "The operator's name for the account.");
const AXIS: SystemColumn = text("axis", "The date that the window filters on.");
const CONNECTOR_DIGEST: SystemColumn = text("connector_digest", "BLAKE3 of its component, hexadecimal.");
const CONNECTOR_VERSION: SystemColumn = text("connector_version", "The connector's version.");
const NETWORK: SystemColumn = text("network", "The connector's network id.");
const RAW_OBJECT: SystemColumn = text("raw_object", "BLAKE3 of the response's body, hexadecimal.");
const REJECT_KEY: SystemColumn =
    column("_key", ColumnKind::Bytes, "Hash of network, account, stream, body, record and reason: names the reject.");
const REQUEST_ID: SystemColumn = text("request_id", "The request, in `meta.requests`.");
const RUN_ID: SystemColumn = text("run_id", "The run, in `meta.runs`.");
const STREAM: SystemColumn = text("stream", "The connector's stream.");

pub(super) const RUNS: SystemTable = SystemTable {
    name: "runs",
    documentation: "One row per run that has ended.",
    columns: &[
        text("run_id", "The run's id."),
        text("network", "The network, by the name of the operator's file."),
        text("command", "The command: `run`, `collect`, `build`, `replay`, …"),
        time("started_at", "When it began."),
        time("finished_at", "When it ended."),
        text("outcome", "`done`, `doubtful`, `partial` or `failed`."),
        text("error", "The first error, if any."),
        CONNECTOR_VERSION,
        CONNECTOR_DIGEST,
        count("slices", "Slices that it read."),
        count("slices_failed", "Slices of which a request failed."),
        count("requests", "Requests that were sent, retries included."),
        count("bytes", "Bytes of response bodies as received, compressed."),
        count("native_rows", "Native records that were mapped."),
        count("native_written", "Native records that were new or changed, and written."),
        count("transactions", "Transactions that were mapped."),
        count("new_versions", "Versions that were added to `unified.transaction_versions`."),
        count("rejects", "Records that could not be mapped."),
        count("guest_cpu_ms", "Processor time of guests and of decoding for them, in milliseconds."),
        ERROR_KIND,
        count("decode_notes", "Values that were odd and were read all the same: see `_decode_notes` in native tables."),
        text("usage", "What each account used, as lines of text: `meta.usage` has it as columns."),
    ],
};

pub(super) const REQUESTS: SystemTable = SystemTable {
    name: "requests",
    documentation: "One row per response: what was requested, and where its body is kept.",
    columns: &[
        RUN_ID,
        text("request_id", "The request's id: the same for each attempt."),
        count("attempt", "Which attempt it was, from 1."),
        NETWORK,
        ACCOUNT,
        STREAM,
        AXIS,
        time("window_since", "Begin of the slice's window, inclusive."),
        time("window_until", "End of the slice's window, exclusive."),
        text("request_key", "The connector's name for the request within its slice: `page-2`."),
        text("method", "HTTP method."),
        text("url", "The URL as requested, secrets masked."),
        time("sent_at", "When it was sent."),
        time("received_at", "When the last byte of the response was received."),
        count("status", "HTTP status."),
        RAW_OBJECT,
        count("body_bytes", "Bytes of the body as received, compressed."),
        flag("masked", "Whether a secret was masked in the body before it was stored."),
        text(
            "outcome",
            "The connector's decision: `answered` bodies are mapped; `step`, `retried`, `split`, `refused`, `failed` and \
             `cut` ones are kept as evidence.",
        ),
        CONNECTOR_VERSION,
        CONNECTOR_DIGEST,
        text("envelope", "Path of the envelope in the lake."),
    ],
};

pub(super) const REJECTS: SystemTable = SystemTable {
    name: "rejects",
    documentation: "One row per record that could not be mapped, however often it was tried.",
    columns: &[
        NETWORK,
        ACCOUNT,
        STREAM,
        RUN_ID,
        REQUEST_ID,
        RAW_OBJECT,
        count("record_index", "The record's place in the response, from 0; -1 for the whole response."),
        text("reason", "Why it could not be mapped."),
        time("observed_at", "When the response was received."),
        text("connector_version", "The version of the connector that could not map it."),
        REJECT_KEY,
    ],
};

pub(super) const RESOLVED_REJECTS: SystemTable = SystemTable {
    name: "resolved_rejects",
    documentation: "One row per reject that was retried with another outcome; the last one of a `_key` counts.",
    columns: &[
        NETWORK,
        column("_key", ColumnKind::Bytes, "The reject, in `meta.rejects`."),
        text(
            "outcome",
            "`mapped`; `superseded` by a reject with another reason; `reopened`: rejected again after it was mapped.",
        ),
        time("resolved_at", "When that was found."),
        text("resolved_run", "The run that found it, in `meta.runs`."),
    ],
};

pub(super) const DOUBT_EVENTS: SystemTable = SystemTable {
    name: "doubt_events",
    documentation: "One row per doubtful slice, and one per decision of it. `meta.doubts` shows the last one of each.",
    columns: &[
        text("doubt_id", "Names the doubt: `sluice doubts show`."),
        NETWORK,
        ACCOUNT,
        STREAM,
        AXIS,
        time("since", "Begin of the slice's window, inclusive."),
        time("until", "End of the slice's window, exclusive."),
        RUN_ID,
        text(
            "kind",
            "The rule that the answer breaks, of several the most telling: `fill`, `type`, `currency`, `unit`, \
             `status`, `window`, `empty`, `cut`, `conflict`, `total`, `bands` or `columns`.",
        ),
        text(
            "field",
            "The path in the records, or the unified column, that it is about; `page` where a page came twice.",
        ),
        text("reason", "All that is odd, with numbers."),
        text("request_ids", "The requests whose responses are held back, as a JSON array."),
        count("records", "Records in these responses."),
        text("money_in_tables", "Commission that the tables hold of the window, by currency, as a JSON object."),
        text("money_in_answer", "Commission that the held responses state, by currency, as a JSON object."),
        CONNECTOR_VERSION,
        time("found_at", "When it was found."),
        time("agrees_since", "When the first read was doubted with which this one agrees."),
        text("state", "`open`, `accepted`, `rejected` or `superseded`."),
        time("decided_at", "When it was decided."),
        text("decided_by", "The operator, the run or the doubt that decided it."),
        text("decision", "Why it was decided so."),
    ],
};

pub(super) const ALARM_EVENTS: SystemTable = SystemTable {
    name: "alarm_events",
    documentation: "One row per alarm that was opened, acknowledged or resolved. `meta.alarms` shows the last one of each.",
    columns: &[
        text("alarm_id", "Names the alarm: `sluice alarms ack`."),
        text("rule", "The rule that found it, such as `doubt` or `gap`."),
        text("subject", "What it was found of: `awin/uk/transactions`, a host, a check."),
        text("network", "The connector's network id; none if it isn't about one network."),
        ACCOUNT,
        STREAM,
        text("host", "The machine that it is about, for what every machine judges by itself."),
        text("severity", "`info`, `warning` or `critical`."),
        text("state", "`open`, `acknowledged` or `resolved`."),
        text("summary", "What is wrong."),
        text("evidence", "What shows it: numbers, messages, first rows."),
        text("advice", "What to do about it."),
        time("opened_at", "When the fault was first found."),
        time("acknowledged_at", "When somebody took notice."),
        text("acknowledged_by", "Who did."),
        time("snoozed_until", "When it opens again if the fault still lasts; none: never."),
        time("resolved_at", "When the fault was gone."),
        time("noted_at", "When this row was noted."),
    ],
};

pub(super) const COVERAGE: SystemTable = SystemTable {
    name: "coverage",
    documentation: "One row per read of a window: the proof of what was read. `meta.gaps` lists what is missing.",
    columns: &[
        NETWORK,
        ACCOUNT,
        STREAM,
        AXIS,
        time("since", "Begin of the window, inclusive."),
        time("until", "End of the window, exclusive."),
        RUN_ID,
        time("read_at", "When it was read to its end."),
        count("requests", "Requests that were sent, retries included."),
        count("records", "Records in the responses."),
        flag("complete", "Whether all of the window was answered and is in the tables."),
        text("error", "Why it isn't complete."),
        ERROR_KIND,
    ],
};

pub(crate) const COVERAGE_STATE: SystemTable = SystemTable {
    name: "coverage_state",
    documentation: "`meta.coverage` folded, from which `meta.gaps` is computed. Its rows are Sluice's own.",
    columns: &[
        NETWORK,
        ACCOUNT,
        STREAM,
        AXIS,
        text("kind", "`stream`, or a window that is `read`, `failed` or `unread`."),
        time("since", "Begin of the window, inclusive."),
        time("until", "End of the window, exclusive."),
        time("read_at", "When it was last read completely."),
        time("failed_at", "When a read of it last failed."),
        text("error", "That read's error."),
    ],
};

pub(crate) const ABSENT: SystemTable = SystemTable {
    name: "absent",
    documentation: "One row per transaction that one complete read of its window did without: another read decides.",
    columns: &[
        text("transaction_key", "The transaction, in `unified.transactions`."),
        NETWORK,
        ACCOUNT,
        STREAM,
        time("first_absent_at", "When the window was read that should have held it."),
        text("run_id", "The run that read it, in `meta.runs`."),
    ],
};

pub(super) const CONNECTORS: SystemTable = SystemTable {
    name: "connectors",
    documentation: "One row per activation of a connector's version.",
    columns: &[
        NETWORK,
        text("version", "The connector's version."),
        text("digest", "BLAKE3 of its component, hexadecimal: its name under `connectors/` in the lake."),
        time("activated_at", "When it became active."),
        text("source", "The file that it came from."),
    ],
};

pub(super) const ACCOUNTS: SystemTable = SystemTable {
    name: "accounts",
    documentation: "One row per account that was read, and per change of its name or of what identifies it.",
    columns: &[
        NETWORK,
        text("account", "The account's id: what tables call it."),
        text("name", "The operator's name for it, which may change."),
        text("identity", "The settings that identify it, as JSON by name."),
        time("since", "When it was first read so."),
    ],
};

pub(super) const COLUMNS: SystemTable = SystemTable {
    name: "columns",
    documentation: "One row per column of a native table.",
    columns: &[
        text("network", "The native table's schema."),
        text("stream", "The native table."),
        text("column", "The column."),
        text("path", "The field's path in the network's records; none for `_rest`, which holds many."),
        text("type", "The column's type."),
        time("first_seen", "When the table got the column."),
        text("example", "A value."),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_is_documented() {
        for table in SYSTEM_TABLES {
            assert!(table.documentation.ends_with('.'), "{table:?}");
            for column in table.columns {
                assert!(column.documentation.ends_with(['.', '…']), "{column:?}");
            }
        }
    }

    #[test]
    fn a_column_that_is_missing_is_refused_by_its_name() {
        let refused = CONNECTORS.rows([]);
        assert!(matches!(&refused, Err(Error::Column { column, .. }) if column == "network"), "{refused:?}");
    }
}
