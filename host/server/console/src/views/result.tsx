import { useMemo, useState } from "preact/hooks";
import { Chart, MAX_SERIES, seriesColour } from "../chart";
import { Exact } from "../lib/exact";
import { counted, isUtc, localText, zone } from "../lib/format";
import { Rows, Select, type Column } from "../parts";
import { Choice, Empty, Foreign } from "../ui";

export type Row = Record<string, unknown>;

const SHOWN = 500;

const isNumber = (value: unknown) => typeof value === "number" || value instanceof Exact;
const isMoment = (value: unknown) => typeof value === "string" && /^\d{4}-\d{2}-\d{2}(T[\d:.]+Z?)?$/.test(value);

const text = (value: unknown): string =>
  typeof value === "object" && !(value instanceof Exact) ? JSON.stringify(value) : String(value);

/** Columns with the first rows' values that aren't null. */
function columnsOf(rows: Row[]): { name: string; isNumber: boolean; isMoment: boolean }[] {
  return Object.keys(rows[0] ?? {}).map((name) => {
    const values = rows.slice(0, 50).map((row) => row[name]).filter((value) => value != null);
    const all = (is: (value: unknown) => boolean) => values.length > 0 && values.every(is);
    return { name, isNumber: all(isNumber), isMoment: all(isMoment) };
  });
}

/** A value as it is; a moment with the viewer's time beside it. */
function Cell({ value }: { value: unknown }) {
  if (value == null) return <span class="dim">null</span>;
  const date = isMoment(value) && String(value).endsWith("Z") && new Date(String(value));
  return (
    <>
      <Foreign text={text(value)} />
      {date && !isUtc(date) && (
        <span class="utc nowrap">
          {" "}
          {localText(date, true)} {zone}
        </span>
      )}
    </>
  );
}

function AsTable({ rows }: { rows: Row[] }) {
  const columns = columnsOf(rows).map(
    ({ name, isNumber }): Column<Row> => [name, (row) => <Cell value={row[name]} />, isNumber ? "number" : "long"],
  );
  return <Rows label="Result" rows={rows.slice(0, SHOWN)} columns={columns} />;
}

interface Axes {
  x: string;
  y: string;
  by: string;
}

/** Points by series. Nothing is summed: a second value of a point is counted. */
function points(rows: Row[], { x, y, by }: Axes, isTime: boolean) {
  const labels = [...new Set(rows.map((row) => text(row[x])))];
  if (isTime) labels.sort();
  const places = new Map(labels.map((label, at) => [label, at]));
  const series = new Map<string, (number | null)[]>();
  let repeated = 0;
  for (const row of rows) {
    const name = by ? text(row[by]) : y;
    let values = series.get(name);
    if (!values) series.set(name, (values = new Array<number | null>(labels.length).fill(null)));
    const at = places.get(text(row[x])) ?? 0;
    if (values[at] !== null) repeated++;
    else if (row[y] != null) values[at] = Number(text(row[y]));
  }
  const lines = [...series].slice(0, MAX_SERIES).map(([name, values]) => ({ name, values }));
  return { labels, series: lines, left: series.size - lines.length, repeated };
}

const named = (names: string[]) => names.map((name) => [name, name || "–"] as const);

function AsChart({ rows }: { rows: Row[] }) {
  const columns = columnsOf(rows);
  const numbers = columns.filter(({ isNumber }) => isNumber).map(({ name }) => name);
  const others = columns.filter(({ isNumber }) => !isNumber).map(({ name }) => name);
  const moment = columns.find(({ isMoment }) => isMoment)?.name;
  const [axes, setAxes] = useState<Axes>({
    x: moment ?? others[0] ?? "",
    y: numbers.find((name) => /commission|amount|sum/.test(name)) ?? numbers[0] ?? "",
    // Currencies are never one line.
    by: others.find((name) => name.includes("currency")) ?? "",
  });
  const [chosen, setKind] = useState<"bars" | "lines">(moment ? "lines" : "bars");
  // Bars are stacked, and amounts of several currencies have no sum.
  const isApart = others.some((name) => name.includes("currency") && rows.some((row) => row[name] !== rows[0]?.[name]));
  const kind = isApart ? "lines" : chosen;
  const isTime = columns.find(({ name }) => name === axes.x)?.isMoment ?? false;
  const { labels, series, left, repeated } = useMemo(() => points(rows, axes, isTime), [rows, axes, isTime]);
  const x = useMemo(() => labels.map((label, at) => (isTime ? Date.parse(label) / 1_000 : at)), [labels, isTime]);
  if (numbers.length === 0 || columns.length < 2) return <Empty>A chart needs a column of numbers, and one for its axis.</Empty>;
  return (
    <>
      <div class="choices">
        <Select label="Across" options={named(columns.map(({ name }) => name))} value={axes.x} choose={(x) => setAxes({ ...axes, x })} />
        <Select label="Up" options={named(numbers)} value={axes.y} choose={(y) => setAxes({ ...axes, y })} />
        <Select label="A line each" options={named(["", ...others])} value={axes.by} choose={(by) => setAxes({ ...axes, by })} />
        {!isApart && (
          <Choice
            label="Kind of chart"
            options={[
              ["lines", "Lines"],
              ["bars", "Bars"],
            ]}
            value={kind}
            choose={setKind}
          />
        )}
      </div>
      <Chart label={`${axes.y} by ${axes.x}; the numbers are in the table`} isTime={isTime} kind={kind} x={x} series={series} labels={isTime ? undefined : labels} />
      <ul class="legend">
        {series.map(({ name }, at) => (
          <li>
            <i style={{ background: seriesColour(at) }} />
            <Foreign text={name} />
          </li>
        ))}
      </ul>
      {left > 0 && <p class="dim">{counted(left, "more series")} aren’t drawn.</p>}
      {repeated > 0 && (
        <p class="note warn">
          {counted(repeated, "row")} share a point with another and aren’t drawn: nothing is summed here. Group the query, or choose a line for each.
        </p>
      )}
    </>
  );
}

/** The rows as a table and as a chart. */
export function Result({ rows, seconds }: { rows: Row[]; seconds: number }) {
  const [shows, setShows] = useState<"table" | "chart">("table");
  if (rows.length === 0) return <Empty>No rows.</Empty>;
  return (
    <>
      <div class="choices">
        <Choice
          label="Shown as"
          options={[
            ["table", "Table"],
            ["chart", "Chart"],
          ]}
          value={shows}
          choose={setShows}
        />
        <span class="dim" role="status">
          {counted(rows.length, "row")} in {seconds.toFixed(1)} s{rows.length > SHOWN && shows === "table" ? `, the first ${SHOWN} shown` : ""}
        </span>
      </div>
      {shows === "table" ? <AsTable rows={rows} /> : <AsChart rows={rows} />}
    </>
  );
}
