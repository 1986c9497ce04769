import { useState } from "preact/hooks";
import { get } from "../lib/api";
import { counted } from "../lib/format";
import { useLoad } from "../lib/load";
import type { MappedRows, SentRequest } from "../lib/types";
import { Rows, Select, type Column } from "../parts";
import { Empty, Foreign, Loaded, Panel } from "../ui";
import { useVersions, versionOptions } from "./connectors";

/** Records whose rows are shown. */
const MOST_RECORDS = 100;

type Row = MappedRows["rows"][number];

/** A field of a record, or a column of a transaction that is made of it, by two versions. */
interface Field {
  name: string;
  left?: string;
  right?: string;
}

/** What a version makes of a record, by name: its native fields, then the columns of its transactions. */
function fieldsOf(row: Row | undefined): Map<string, string> {
  const fields = new Map(Object.entries(row?.native ?? {}));
  row?.transactions.forEach((columns, at) => {
    const of = row.transactions.length === 1 ? "transaction" : `transaction ${at + 1}`;
    for (const [name, value] of Object.entries(columns)) fields.set(`${of}: ${name}`, value);
  });
  return fields;
}

function compared(left: Row | undefined, right: Row | undefined): Field[] {
  const [a, b] = [fieldsOf(left), fieldsOf(right)];
  return [...new Set([...a.keys(), ...b.keys()])].map((name) => ({ name, left: a.get(name), right: b.get(name) }));
}

const differs = ({ left, right }: Field) => left !== right;

function columns(left: MappedRows, right: MappedRows | null): Column<Field>[] {
  const name = (field: Field) => <Foreign text={field.name} />;
  const value = (text: string | undefined, other: string | undefined) =>
    text === undefined ? <span class="dim">–</span> : right && text !== other ? <mark><Foreign text={text} /></mark> : <Foreign text={text} />;
  const first: Column<Field>[] = [["Field", name, "head"], [left.connector.version, (field) => value(field.left, field.right), "long"]];
  return right ? [...first, [right.connector.version, (field) => value(field.right, field.left), "long"]] : first;
}

/** `wanted`: the record that is opened, or the first one. */
function Records({ left, right, wanted }: { left: MappedRows; right: MappedRows | null; wanted?: number }) {
  const places = [...new Set([...left.rows, ...(right?.rows ?? [])].map(({ record_index }) => record_index))].sort((a, b) => a - b);
  const row = (of: MappedRows | null, place: number) => of?.rows.find(({ record_index }) => record_index === place);
  const records = places.map((place) => ({ place, fields: compared(row(left, place), right ? row(right, place) : row(left, place)) }));
  const opened = wanted !== undefined && places.includes(wanted) ? wanted : places[0];
  const changed = records.filter(({ fields }) => fields.some(differs));
  return (
    <>
      <p role="status">
        {counted(left.records, "record")}
        {right && `, ${changed.length === 0 ? "the same rows by both versions" : `${counted(changed.length, "record")} with other rows`}`}
        {places.length === 0 ? `, none from ${wanted} on` : places.length < left.records && `, ${places[0]} to ${places[places.length - 1]} shown, counted from 0`}
      </p>
      {records.map(({ place, fields }) => (
        <details key={place} open={right ? fields.some(differs) : place === opened}>
          <summary id={`record-${place}`}>Record {place}</summary>
          <Rows label={`Record ${place}`} rows={fields} columns={columns(left, right)} />
        </details>
      ))}
      {[left, ...(right ? [right] : [])].map(({ connector, rejects }) =>
        rejects.map(({ record_index, reason }) => (
          <p class="note warn">
            Record {record_index} is rejected by {connector.version}: <Foreign text={reason} />
          </p>
        )),
      )}
    </>
  );
}

/** The first of those that are shown with a record. */
const pageOf = (record: number) => Math.floor(record / MOST_RECORDS) * MOST_RECORDS;

/** The rows that are made of a response, around the wanted record: by the version that mapped it, beside what another one makes. */
export function Mapped({ digest, sent, record }: { digest: string; sent: SentRequest; record?: number }) {
  const [version, setVersion] = useState("");
  const [skip, setSkip] = useState(pageOf(record ?? 0));
  const versions = useVersions(sent.network);
  const params = (version?: string) => ({ path: { digest }, query: { request: sent.request_id, version, skip, limit: MOST_RECORDS } });
  const ask = (version?: string) => (signal: AbortSignal) => get("/v1/raw/{digest}/rows", { params: params(version), signal });
  const inputs = [digest, sent.request_id, skip];
  const left = useLoad(ask(), inputs);
  const right = useLoad((signal) => (version ? ask(version)(signal) : Promise.resolve(null)), [...inputs, version]);
  const turn = (text: string, to: number, isThere: boolean) =>
    isThere && (
      <button type="button" onClick={() => setSkip(to)}>
        {text}
      </button>
    );
  return (
    <Panel
      wide
      title="Rows made of it"
      aside={<Select label="Beside" options={[["", "nothing"], ...versionOptions(versions)]} value={version} choose={setVersion} />}
    >
      <Loaded load={left}>
        {(left) =>
          left.records === 0 ? (
            <Empty>It holds no record.</Empty>
          ) : (
            <>
              <Loaded load={right}>{(right) => <Records left={left} right={right} wanted={record} />}</Loaded>
              <div class="row">
                {turn("Earlier records", pageOf(Math.min(skip, left.records) - 1), skip > 0)}
                {turn("Later records", skip + MOST_RECORDS, skip + MOST_RECORDS < left.records)}
              </div>
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}
