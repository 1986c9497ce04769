import { useState } from "preact/hooks";
import { compare, type Part, type ReplayReport } from "../lib/jobs";
import { count } from "../lib/format";
import { useAction } from "../lib/load";
import { ActionButton, Empty, Foreign, Money, Outcome, Table } from "../ui";

function Report({ report }: { report: ReplayReport }) {
  const { added, removed, changed, fields, totals } = report;
  if (report.empty) {
    return (
      <Empty>
        Version {report.connector.version} makes the same of {count(report.responses)} responses.
      </Empty>
    );
  }
  return (
    <>
      <p>
        Version <Foreign text={report.connector.version} /> on {count(report.responses)} responses with {count(report.compared)} transactions:{" "}
        {count(added.count)} added, {count(removed.count)} removed, {count(changed.count)} changed, {count(report.new_rejects.count)} new rejects,{" "}
        {count(report.gone_rejects.count)} rejects fewer.
      </p>
      {totals.length > 0 && (
        <Table label="Commission by currency" head={["Currency", ["Now", "number"], ["By this version", "number"], ["Difference", "number"]]}>
          {totals.map((row) => (
            <tr>
              <th scope="row">{row.currency ?? "no currency"}</th>
              <td class="number">
                <Money value={row.before} currency={row.currency} />
              </td>
              <td class="number">
                <Money value={row.after} currency={row.currency} />
              </td>
              <td class="number">
                <Money value={row.difference} currency={row.currency} />
              </td>
            </tr>
          ))}
        </Table>
      )}
      {Object.keys(fields).length > 0 && (
        <Table label="Fields that differ" head={["Field", ["Transactions", "number"], "Example", "Now", "By this version"]}>
          {Object.entries(fields).flatMap(([name, field]) =>
            field.examples.slice(0, 3).map((example, at) => (
              <tr>
                <th scope="row">{at === 0 ? name : ""}</th>
                <td class="number">{at === 0 ? count(field.count) : ""}</td>
                <td>
                  <Foreign text={example.transaction_id} />
                </td>
                <td>
                  <Foreign class="before" text={example.before ?? "nothing"} />
                </td>
                <td>
                  <Foreign text={example.after ?? "nothing"} />
                </td>
              </tr>
            )),
          )}
        </Table>
      )}
    </>
  );
}

/** Compares what is in the tables with what a version of the connector would make of the same responses. */
export function Replay({ part, versions }: { part: Part; versions: { version: string; digest: string }[] }) {
  const [digest, setDigest] = useState("");
  const [report, setReport] = useState<ReplayReport | null>(null);
  const action = useAction();
  const start = async () => {
    setReport(null);
    const job = await compare({ ...part, version: digest || undefined });
    setReport(job.result);
  };
  return (
    <div>
      <p class="dim">Maps the stored responses again and shows the difference. Nothing is sent, and nothing is changed.</p>
      <div class="row">
        <label>
          Version{" "}
          <select value={digest} onChange={(event) => setDigest(event.currentTarget.value)}>
            <option value="">that serves</option>
            {versions.map((one) => (
              <option value={one.digest}>
                {one.version} ({one.digest.slice(0, 12)})
              </option>
            ))}
          </select>
        </label>
        <ActionButton role="operate" action={action} onClick={() => action.run(start)}>
          {action.isBusy ? "Comparing …" : "Compare"}
        </ActionButton>
      </div>
      <Outcome action={action} />
      {report && <Report report={report} />}
    </div>
  );
}
