import { useMemo } from "preact/hooks";
import { Chart, MAX_SERIES, seriesColour } from "../chart";
import { get, type Rows as Answer } from "../lib/api";
import { type Exact, toNumber, type Numeric } from "../lib/exact";
import { count, currencyName } from "../lib/format";
import { useLoad, useSql, type Load } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { OpenAlarms } from "../lib/types";
import { Details, Rows, SPANS, type Column } from "../parts";
import { Age, Badge, Choice, Empty, Foreign, Loaded, Money, Panel, Warnings } from "../ui";
import { Open } from "./open";
import { useNetworks } from "./runs";

const BASES = [
  ["transaction", "Transaction day"],
  ["validation", "Validation day"],
  ["payment", "Payment day"],
] as const;
interface Daily {
  day: string;
  /** Empty for all networks beyond those that have a colour. */
  network: string;
  currency: string | null;
  commission: Numeric;
  transactions: Numeric;
}

/** A part of a query that is named twice would be computed twice: hence the windows. */
const daily = (basis: string, days: string) => `
WITH daily AS (
  SELECT day, network, commission_currency AS currency, sum(commission_effective) AS commission, sum(transactions) AS transactions
  FROM unified.earnings_daily
  WHERE basis = '${basis}' AND day > current_date() - INTERVAL '${days} days' AND day <= current_date() + INTERVAL '1 day'
  GROUP BY ALL
),
sized AS (SELECT *, sum(transactions) OVER (PARTITION BY network) AS size FROM daily),
ranked AS (SELECT *, dense_rank() OVER (ORDER BY size DESC, network) AS place FROM sized)
SELECT day, CASE WHEN place < ${MAX_SERIES} THEN network ELSE '' END AS network, currency,
  sum(commission) AS commission, sum(transactions) AS transactions
FROM ranked GROUP BY ALL ORDER BY day`;

/** Days as they follow each other, also those without rows. */
function days(rows: Daily[]): string[] {
  const first = rows[0]?.day;
  const last = rows[rows.length - 1]?.day;
  const all: string[] = [];
  if (!first || !last) return all;
  for (let at = Date.parse(first); at <= Date.parse(last); at += 86_400_000) all.push(new Date(at).toISOString().slice(0, 10));
  return all;
}

const OTHERS = "other networks";

function Earnings({ rows, currency }: { rows: Daily[]; currency: string }) {
  const chart = useMemo(() => {
    const own = rows.filter((row) => currencyName(row.currency) === currency);
    const names = [...new Set(own.map((row) => row.network))].sort((a, b) => (a === "" ? 1 : b === "" ? -1 : a.localeCompare(b)));
    const all = days(rows);
    const place = new Map(all.map((day, at) => [day, at]));
    const series = names.map((name) => ({ name: name || OTHERS, values: new Array<number | null>(all.length).fill(null) }));
    for (const row of own) {
      const values = series[names.indexOf(row.network)]?.values;
      const at = place.get(row.day);
      if (values && at !== undefined) values[at] = toNumber(row.commission);
    }
    return { x: all.map((day) => Date.parse(day) / 1_000), series };
  }, [rows, currency]);
  return (
    <>
      <Chart
        label={`Commission by day and network in ${currency}; the same numbers are in the table below`}
        isTime
        kind="bars"
        currency={currency}
        {...chart}
      />
      <ul class="legend">
        {chart.series.map(({ name }, at) => (
          <li>
            <i style={{ background: seriesColour(at) }} />
            <Foreign text={name} />
          </li>
        ))}
      </ul>
    </>
  );
}

interface Sum {
  currency: string | null;
  network: string;
  commission: Numeric;
  transactions: Numeric;
}

const sums = (basis: string, days: string) => `
SELECT commission_currency AS currency, network, sum(commission_effective) AS commission, sum(transactions) AS transactions
FROM unified.earnings_daily
WHERE basis = '${basis}' AND day > current_date() - INTERVAL '${days} days' AND day <= current_date() + INTERVAL '1 day'
GROUP BY ALL ORDER BY currency, commission DESC`;

const SUMS: Column<Sum>[] = [
  ["Network", (row) => <Foreign text={row.network} />],
  ["Commission", (row) => <Money value={row.commission} currency={row.currency} />, "number"],
  ["Transactions", (row) => count(row.transactions), "number"],
];

/** The numbers of the chart, of all networks: summed where they are exact. */
function Sums({ basis, days }: { basis: string; days: string }) {
  const load = useSql<Sum>(sums(basis, days), ["runs", "doubts"]);
  return <Loaded load={load}>{({ rows }) => <Rows label="Commission by network and currency" rows={rows} columns={SUMS} />}</Loaded>;
}

/** Currencies, that with the most transactions first. */
function currencies(rows: Daily[]): string[] {
  const counts = new Map<string, number>();
  for (const { currency, transactions } of rows) {
    const name = currencyName(currency);
    counts.set(name, (counts.get(name) ?? 0) + toNumber(transactions));
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([currency]) => currency);
}

interface Shown {
  rows: Daily[];
  basis: string;
  span: string;
}

function Charted({ rows, basis, span }: Shown) {
  const found = currencies(rows);
  const named = parameters.value.get("currency") ?? "";
  const currency = found.includes(named) ? named : currencyName(found[0]);
  return (
    <>
      <Choice label="Currency" options={found.map((one) => [one, one] as const)} value={currency} choose={(currency) => setParameters({ currency })} />
      <Earnings rows={rows} currency={currency} />
      <Details summary="As a table, all currencies">
        {() => <Sums basis={basis} days={span} />}
      </Details>
    </>
  );
}

function Commission() {
  const basis = BASES.find(([name]) => name === parameters.value.get("by"))?.[0] ?? "transaction";
  const span = SPANS.find(([name]) => name === parameters.value.get("days"))?.[0] ?? "90";
  const load = useSql<Daily>(daily(basis, span), ["runs", "doubts"]);
  const choices = (
    <div class="choices">
      <Choice label="Day of" options={BASES} value={basis} choose={(by) => setParameters({ by })} />
      <Choice label="Span" options={SPANS} value={span} choose={(days) => setParameters({ days })} />
    </div>
  );
  return (
    <Panel wide title="Commission by day" aside={choices}>
      <Loaded load={load} rows={8}>
        {({ rows, warnings }) =>
          rows.length === 0 ? (
            <Empty>
              No transactions in the last {span} days. <a href="/runs">See the runs</a>, or <a href="/completeness">what was read</a>.
            </Empty>
          ) : (
            <>
              <Charted rows={rows} basis={basis} span={span} />
              <Warnings warnings={warnings} />
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

const AGES = ["0–30 days", "31–60 days", "61–90 days", "91–180 days", "over 180 days"];

interface Unpaid {
  currency: string | null;
  age: number;
  transactions: Numeric;
  commission: Numeric;
}

const UNPAID = `
SELECT commission_currency AS currency, count(*) AS transactions, sum(commission_effective) AS commission,
  CASE WHEN age_days <= 30 THEN 0 WHEN age_days <= 60 THEN 1 WHEN age_days <= 90 THEN 2 WHEN age_days <= 180 THEN 3 ELSE 4 END AS age
FROM unified.unpaid GROUP BY ALL ORDER BY currency, age`;

function UnpaidByAge() {
  const load = useSql<Unpaid>(UNPAID, ["runs", "doubts"]);
  return (
    <Panel wide title="Approved and not paid, by age">
      <Loaded load={load}>
        {({ rows }) => {
          if (rows.length === 0) return <Empty>Nothing is owed: all that is approved is paid.</Empty>;
          const owed = (currency: string | null, age: number) => {
            const row = rows.find((row) => row.currency === currency && row.age === age);
            return row ? <Money value={row.commission} currency={currency} /> : <span class="dim">–</span>;
          };
          const ages = AGES.map((name, age): Column<string | null> => [name, (currency) => owed(currency, age), "number"]);
          const currencies = [...new Set(rows.map((row) => row.currency))];
          return (
            <Rows
              label="Unpaid commission by currency and age"
              rows={currencies}
              columns={[["Currency", currencyName, "head"], ...ages]}
            />
          );
        }}
      </Loaded>
    </Panel>
  );
}

interface Restated {
  network: string;
  cause: string;
  currency: string | null;
  versions: Numeric;
  difference: Numeric;
}

const MAX_CHANGES = 300;

/**
 * Each version against the one before it: in sum what `unified.restatements` has of each transaction, which compares far more.
 * What moved to another currency leaves the one and comes to the other.
 */
const RESTATED = `
WITH fresh AS (
  SELECT network, transaction_key, version, change, commission_currency AS currency,
    CASE WHEN is_live(content_hash) THEN commission_effective ELSE 0 END AS commission
  FROM unified.transaction_versions WHERE observed_at > now() - INTERVAL '1 day'
),
parts AS (
  SELECT network, change, currency, commission, 1 AS versions FROM fresh
  UNION ALL
  SELECT fresh.network, fresh.change, prior.commission_currency,
    CASE WHEN is_live(prior.content_hash) THEN -prior.commission_effective ELSE 0 END, 0
  FROM fresh JOIN unified.transaction_versions prior
    ON prior.network = fresh.network AND prior.transaction_key = fresh.transaction_key AND prior.version = fresh.version - 1
  WHERE fresh.version > 1
)
SELECT network, change AS cause, currency, sum(versions) AS versions, sum(commission) AS difference
FROM parts GROUP BY ALL ORDER BY versions DESC, network LIMIT ${MAX_CHANGES}`;

const CHANGES: Column<Restated>[] = [
  ["Network", (row) => <Foreign text={row.network} />],
  ["Cause", (row) => <Badge text={row.cause} />],
  ["Versions", (row) => count(row.versions), "number"],
  ["Commission", (row) => <Money value={row.difference} currency={row.currency} />, "number"],
];

function Changed() {
  const load = useSql<Restated>(RESTATED, ["runs", "doubts"]);
  return (
    <Panel title="What changed in 24 hours, and why">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>Nothing changed since yesterday.</Empty>
          ) : (
            <Rows label="Changes by network and cause" rows={rows} columns={CHANGES} most={MAX_CHANGES} />
          )
        }
      </Loaded>
    </Panel>
  );
}

interface Fresh {
  network: string;
  streams: Numeric;
  failing: Numeric;
  oldest: string | null;
  gaps: Numeric;
  doubts: Numeric;
}

/** One row per network, however many accounts it has. */
const FRESH = `
WITH streams AS (
  SELECT network, count(*) AS streams, min(read_at) AS oldest,
    count(*) FILTER (WHERE failed_at > read_at OR read_at IS NULL) AS failing
  FROM meta.coverage_state WHERE kind = 'stream' GROUP BY network
),
gaps AS (SELECT network, count(*) AS gaps FROM meta.gaps GROUP BY network),
doubts AS (SELECT network, count(*) AS doubts FROM meta.doubts WHERE state = 'open' GROUP BY network)
SELECT streams.*, coalesce(gaps, 0) AS gaps, coalesce(doubts, 0) AS doubts
FROM streams LEFT JOIN gaps ON gaps.network = streams.network LEFT JOIN doubts ON doubts.network = streams.network
ORDER BY doubts DESC, gaps DESC, oldest`;

const total = (rows: Fresh[], of: (row: Fresh) => Numeric) => rows.reduce((sum, row) => sum + toNumber(of(row)), 0);

function Tile({ title, value, href, tone }: { title: string; value: number | Exact; href: string; tone: string }) {
  return (
    <a class={`tile ${tone}`} href={href}>
      <b>{count(value)}</b>
      <span>{title}</span>
    </a>
  );
}

function Tiles({ load, alarms }: { load: Load<Answer<Fresh>>; alarms: Load<OpenAlarms> }) {
  const open = alarms.value?.open;
  return (
    <Loaded load={load} rows={1}>
      {({ rows }) => {
        const [doubts, gaps, failing] = [total(rows, (row) => row.doubts), total(rows, (row) => row.gaps), total(rows, (row) => row.failing)];
        return (
          <div class="tiles">
            {open !== undefined && <Tile title="open alarms" value={open} href="/doubts" tone={open ? "bad" : "good"} />}
            <Tile title="open doubts" value={doubts} href="/doubts" tone={doubts ? "warn" : "good"} />
            <Tile title="gaps" value={gaps} href="/completeness" tone={gaps ? "bad" : "good"} />
            <Tile title="streams whose last read failed or is doubtful" value={failing} href="/completeness" tone={failing ? "bad" : "good"} />
            <Tile title="networks" value={rows.length} href="/settings" tone="plain" />
          </div>
        );
      }}
    </Loaded>
  );
}

const FRESHNESS: Column<Fresh>[] = [
  [
    "Network",
    (row) => (
      <a href={path("completeness", row.network)}>
        <Foreign text={row.network} />
      </a>
    ),
  ],
  ["Oldest read", (row) => <Age at={row.oldest} />],
  ["Streams", (row) => count(row.streams), "number"],
  ["Gaps", (row) => count(row.gaps), "number"],
  ["Doubts", (row) => count(row.doubts), "number"],
];

function Freshness({ load }: { load: Load<Answer<Fresh>> }) {
  const networks = useNetworks();
  return (
    <Panel title="Freshness">
      <Loaded load={load}>
        {({ rows }) => {
          // What the settings name and nothing was attempted of has no numbers.
          const unread = (networks.value ?? []).filter(({ connector }) => !rows.some(({ network }) => network === connector));
          const all = [...unread.map(({ connector }) => ({ network: connector }) as Fresh), ...rows];
          return all.length === 0 ? <Empty>Nothing was read yet.</Empty> : <Rows label="Freshness by network" rows={all} columns={FRESHNESS} />;
        }}
      </Loaded>
    </Panel>
  );
}

export function Overview() {
  const alarms = useLoad((signal) => get("/v1/alarms/open", { signal }), [], ["alarms", "runs", "doubts"]);
  const fresh = useSql<Fresh>(FRESH, ["runs", "doubts", "alarms"]);
  return (
    <div class="panels">
      <Tiles load={fresh} alarms={alarms} />
      <Commission />
      <UnpaidByAge />
      <Open alarms={alarms} />
      <Freshness load={fresh} />
      <Changed />
    </div>
  );
}
