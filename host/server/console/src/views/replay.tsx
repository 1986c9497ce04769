import { useState } from "preact/hooks";
import { compare } from "../lib/jobs";
import { count, currencyName } from "../lib/format";
import { useAction } from "../lib/load";
import type { Part, ReplayReport } from "../lib/types";
import { Rows, Select, type Column } from "../parts";
import { ActionButton, Empty, Foreign, Money, Outcome } from "../ui";
import { versionOptions } from "./connectors";

type Total = ReplayReport["totals"][number];

const TOTALS: Column<Total>[] = [
  ["Currency", (row) => currencyName(row.currency), "head"],
  ["Now", (row) => <Money value={row.before} currency={row.currency} />, "number"],
  ["By this version", (row) => <Money value={row.after} currency={row.currency} />, "number"],
  ["Difference", (row) => <Money value={row.difference} currency={row.currency} />, "number"],
];

interface Example {
  field: string;
  count: number | null;
  transaction_id: string;
  before: string | null;
  after: string | null;
}

const EXAMPLES: Column<Example>[] = [
  ["Field", (row) => row.count !== null && row.field, "head"],
  ["Transactions", (row) => row.count !== null && count(row.count), "number"],
  ["Example", (row) => <Foreign text={row.transaction_id} />],
  ["Now", (row) => <Foreign class="before" text={row.before ?? "nothing"} />],
  ["By this version", (row) => <Foreign text={row.after ?? "nothing"} />],
];

/** Three examples of each field that differs. */
const examplesOf = (fields: ReplayReport["fields"]): Example[] =>
  Object.entries(fields).flatMap(([field, { count, examples }]) =>
    examples.slice(0, 3).map((example, at) => ({ ...example, field, count: at === 0 ? count : null })),
  );

function Report({ report }: { report: ReplayReport }) {
  const { added, removed, changed, totals, new_rejects, gone_rejects } = report;
  if (report.empty) {
    return (
      <Empty>
        Version {report.connector.version} makes the same of {count(report.responses)} responses.
      </Empty>
    );
  }
  const examples = examplesOf(report.fields);
  return (
    <>
      <p>
        Version <Foreign text={report.connector.version} /> on {count(report.responses)} responses with {count(report.compared)} transactions:{" "}
        {count(added.count)} added, {count(removed.count)} removed, {count(changed.count)} changed, {count(new_rejects.count)} new rejects,{" "}
        {count(gone_rejects.count)} rejects fewer.
      </p>
      {Object.entries(report.facts).map(([kind, facts]) => (
        <div key={kind}>
          <p>
            {count(facts.compared)} {kind}: {count(facts.added.count)} added, {count(facts.removed.count)} removed, {count(facts.changed.count)} changed.
          </p>
          {facts.totals.length > 0 && <Rows label={`Amounts of ${kind} by currency`} rows={facts.totals} columns={TOTALS} />}
        </div>
      ))}
      {totals.length > 0 && <Rows label="Commission by currency" rows={totals} columns={TOTALS} />}
      {examples.length > 0 && <Rows label="Fields that differ" rows={examples} columns={EXAMPLES} />}
    </>
  );
}

/** Compares what is in the tables with what a version of the connector would make of the same responses. */
export function Replay({ part, versions }: { part: Omit<Part, "axis">; versions: { version: string; digest: string }[] }) {
  const [digest, setDigest] = useState("");
  const [report, setReport] = useState<ReplayReport | null>(null);
  const action = useAction();
  const start = async () => {
    setReport(null);
    setReport(await compare({ ...part, version: digest || undefined }));
  };
  return (
    <div>
      <p class="dim">Maps the stored responses again and shows the difference. Nothing is sent, and nothing is changed.</p>
      <div class="row">
        <Select label="Version" options={[["", "that serves"], ...versionOptions(versions)]} value={digest} choose={setDigest} />
        <ActionButton role="operate" action={action} onClick={() => action.run(start)}>
          {action.isBusy ? "Comparing …" : "Compare"}
        </ActionButton>
      </div>
      <Outcome action={action} />
      {report && <Report report={report} />}
    </div>
  );
}
