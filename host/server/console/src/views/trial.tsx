import { get } from "../lib/api";
import { count, currencyName } from "../lib/format";
import { useLoad } from "../lib/load";
import type { Comparison } from "../lib/types";
import { Rows, type Column } from "../parts";
import { Foreign, Loaded, Money } from "../ui";

type Pair = Comparison["records"];

interface Counted extends Pair {
  what: string;
}

/** An amount of millionths as a text with all its digits. */
function units(millionths: bigint): string {
  const digits = String(millionths < 0n ? -millionths : millionths).padStart(7, "0");
  return `${millionths < 0n ? "-" : ""}${digits.slice(0, -6)}.${digits.slice(-6)}`;
}

// Sums of millionths may be longer than a double's digits.
const whole = (number: number) => BigInt(String(number));

/** A sum, of transactions unless a kind is named. */
interface Summed extends Counted {
  kind: string;
}

const MONEY: Column<Summed>[] = [
  ["Currency", (row) => `${currencyName(row.what)}${row.kind && ` (${row.kind})`}`, "head"],
  ["By the version that serves", (row) => <Money value={units(whole(row.running))} currency={row.what} />, "number"],
  ["By the one that waits", (row) => <Money value={units(whole(row.candidate))} currency={row.what} />, "number"],
  ["Difference", (row) => <Money value={units(whole(row.candidate) - whole(row.running))} currency={row.what} />, "number"],
];

const COUNTS: Column<Counted>[] = [
  ["Counted", (row) => row.what, "head"],
  ["By the version that serves", (row) => count(row.running), "number"],
  ["By the one that waits", (row) => count(row.candidate), "number"],
];

const COUNTED = [
  ["records", "Records"],
  ["transactions", "Transactions"],
  ["rejects", "Rejected records"],
  ["unknown_statuses", "Unknown status words"],
] as const;

const listed = (counts: Record<string, number>) => Object.entries(counts).map(([name, number]) => `${name} (${count(number)})`).join(", ");

function Differences({ of }: { of: Comparison }) {
  const [fields, columns] = [listed(of.fields), listed(of.columns)];
  return (
    <>
      <p>
        {count(of.responses)} responses: {count(of.added)} transactions and other facts added, {count(of.removed)} removed, {count(of.changed)} changed
        {of.faults > 0 && `, ${count(of.faults)} responses failed`}.
      </p>
      {of.first_fault && (
        <p class="note bad">
          <Foreign text={of.first_fault} />
        </p>
      )}
      {fields && (
        <p>
          Fields that differ: <Foreign text={fields} />
        </p>
      )}
      {columns && (
        <p>
          Native columns that differ: <Foreign text={columns} />
        </p>
      )}
    </>
  );
}

function Report({ title, of }: { title: string; of: Comparison }) {
  const sums = [
    ...Object.entries(of.money).map(([currency, pair]) => ({ currency, kind: "", ...pair })),
    ...Object.entries(of.fact_money).map(([name, pair]) => {
      const [kind = "", currency = ""] = name.split(" ");
      return { currency, kind, ...pair };
    }),
  ];
  // What names no currency counts as `?`.
  const money = sums
    .filter(({ running, candidate }) => whole(running) !== 0n || whole(candidate) !== 0n)
    .map(({ currency, ...sum }) => ({ what: currency === "?" ? "" : currency, ...sum }));
  const counts = [...COUNTED.map(([name, what]) => ({ what, ...of[name] })), ...Object.entries(of.facts).map(([what, pair]) => ({ what, ...pair }))];
  return (
    <section aria-label={title}>
      <h3>{title}</h3>
      <Differences of={of} />
      {money.length > 0 && <Rows label={`${title}: commission`} rows={money} columns={MONEY} />}
      <Rows label={`${title}: counts`} rows={counts} columns={COUNTS} />
    </section>
  );
}

/** How the version that waits did on kept responses, and does as a shadow on live ones. */
export function Trial({ network, digest }: { network: string; digest: string }) {
  const load = useLoad((signal) => get("/v1/connectors/{network}/diff", { params: { path: { network } }, signal }), [network, digest], ["connectors", "runs"]);
  return (
    <Loaded load={load}>
      {({ kept, live }) => (
        <>
          {!kept && <p class="dim">It wasn’t tried on kept responses yet.</p>}
          {kept?.fault && (
            <p class="note bad">
              <Foreign text={kept.fault} />
            </p>
          )}
          {kept && <Report title="On kept responses" of={kept.comparison} />}
          {live && <Report title="On live responses" of={live} />}
        </>
      )}
    </Loaded>
  );
}
