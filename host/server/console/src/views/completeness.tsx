import { useState } from "preact/hooks";
import { sql } from "../lib/api";
import { toNumber, type Numeric } from "../lib/exact";
import { counted, literal } from "../lib/format";
import { run } from "../lib/jobs";
import { useAction, useLoad } from "../lib/load";
import { navigate, parameters, path, setParameters } from "../lib/route";
import type { Gap } from "../lib/types";
import { ActionButton, Age, Badge, Choice, Dialog, Empty, Foreign, Loaded, Outcome, Panel, Table, Time, Window } from "../ui";
import { useNetworks } from "./runs";

const DAY = 86_400_000;
const SPANS = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["400", "400 days"],
] as const;
/** Gaps that are listed and drawn. */
const MOST_GAPS = 2_000;

/** What was read: from here to there, but for gaps. */
interface Extent {
  network: string;
  account: string;
  stream: string;
  axis: string;
  since: string;
  until: string;
  read_at: string;
}

interface Doubtful {
  doubt_id: string;
  network: string;
  account: string;
  stream: string;
  axis: string;
  since: string;
  until: string;
  reason: string;
}

interface Vanished {
  account: string;
  stream: string;
  day: string;
  transactions: Numeric;
}

/** The days that are shown. */
interface Span {
  first: number;
  days: number;
}

function place({ first, days }: Span, since: string, until: string) {
  const day = (at: string) => (Date.parse(at) - first) / DAY;
  const left = Math.max(0, Math.floor(day(since)));
  const right = Math.min(days, Math.ceil(day(until)));
  return right <= left ? null : { left: `${(100 * left) / days}%`, width: `${(100 * (right - left)) / days}%` };
}

function Ticks({ span }: { span: Span }) {
  const ticks = Array.from({ length: span.days }, (_, at) => new Date(span.first + at * DAY)).filter((day) =>
    span.days > 40 ? day.getUTCDate() === 1 : day.getUTCDay() === 1,
  );
  const text = (day: Date) => day.toISOString().slice(span.days > 40 ? 0 : 5, span.days > 40 ? 7 : 10);
  return (
    <div class="heat ticks" aria-hidden="true">
      <span />
      <div class="track bare">
        {ticks.map((day) => (
          <span style={{ left: `${(100 * (day.getTime() - span.first)) / DAY / span.days}%` }}>{text(day)}</span>
        ))}
      </div>
    </div>
  );
}

interface Mark {
  since: string;
  until: string;
  kind: "never-read" | "failed" | "doubtful" | "vanished";
  text: string;
  open?: () => void;
}

/** A row of the heat map: what was read, and over it what is wrong. */
function Track({ span, read, marks }: { span: Span; read: { since: string; until: string }; marks: Mark[] }) {
  const extent = place(span, read.since, read.until);
  return (
    <div class={span.days > 120 ? "track fine" : "track"} style={{ "--days": span.days }}>
      {extent && <i class="segment read" style={extent} />}
      {marks.map(({ since, until, kind, text, open }) => {
        const at = place(span, since, until);
        if (!at) return null;
        if (!open) return <i class={`segment ${kind}`} style={at} title={text} />;
        return <button type="button" class={`segment ${kind}`} style={at} title={text} aria-label={text} onClick={open} />;
      })}
    </div>
  );
}

const LEGEND = [
  ["read", "read"],
  ["never-read", "never read"],
  ["failed", "failed"],
  ["doubtful", "doubtful, held back"],
  ["vanished", "rows that vanished"],
] as const;

function Legend() {
  return (
    <ul class="legend">
      {LEGEND.map(([kind, text]) => (
        <li>
          <i class={`segment ${kind}`} />
          {text}
        </li>
      ))}
    </ul>
  );
}

const gapText = ({ kind, since, until, error }: Gap) =>
  `${kind === "failed" ? "Failed" : "Never read"}: ${since.slice(0, 10)} to ${until.slice(0, 10)}${error ? `, ${error}` : ""}`;

/** A gap with its reason, and what reads it. */
function GapDialog({ gap, close, again }: { gap: Gap; close: () => void; again: () => void }) {
  const networks = useNetworks();
  const action = useAction();
  const read = async () => {
    // Settings name networks by their file, tables by their connector.
    const own = networks.value?.filter(({ connector }) => connector === gap.network) ?? [];
    const network = own.find(({ accounts }) => accounts.some(({ id }) => id === gap.account)) ?? own[0];
    const { account, stream, axis, since, until } = gap;
    const window = axis === "none" ? {} : { axis, since, until };
    const job = await run({ network: network?.name ?? gap.network, account, stream, ...window });
    again();
    return job.state === "doubtful" ? "It was read, and the answer is doubtful: see the doubts." : "It was read.";
  };
  return (
    <Dialog title={gap.kind === "failed" ? "A read that failed" : "A window that was never read"} close={close}>
      <p>
        <Foreign text={gap.network} /> / <Foreign text={gap.account} />, {gap.stream} by {gap.axis}
        <br />
        <Window since={gap.since} until={gap.until} />
      </p>
      {gap.failed_at && (
        <p>
          Failed <Time at={gap.failed_at} />
        </p>
      )}
      {gap.error && (
        <p class="note bad">
          <Foreign text={gap.error} />
        </p>
      )}
      <div class="row">
        <ActionButton role="operate" kind="primary" action={action} disabled={action.done !== undefined} onClick={() => action.run(read)}>
          {action.isBusy ? "Reading …" : "Read this window now"}
        </ActionButton>
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
      <Outcome action={action} />
    </Dialog>
  );
}

function GapTable({ gaps, open }: { gaps: Gap[]; open: (gap: Gap) => void }) {
  return (
    <Table label="Gaps" head={["Network", "Stream", "Window", "Kind", "Why", ""]}>
      {gaps.slice(0, 200).map((gap) => (
        <tr>
          <td>
            <Foreign text={gap.network} /> <Foreign class="dim" text={gap.account} />
          </td>
          <td>
            {gap.stream} <span class="dim">by {gap.axis}</span>
          </td>
          <td>
            <Window since={gap.since} until={gap.until} />
          </td>
          <td>
            <Badge text={gap.kind} tone={gap.kind === "failed" ? "bad" : "warn"} />
          </td>
          <td class="long">
            <Foreign text={gap.error} />
          </td>
          <td>
            <button type="button" onClick={() => open(gap)}>
              Open
            </button>
          </td>
        </tr>
      ))}
    </Table>
  );
}

const inNetwork = (network?: string) => (network ? `AND network = ${literal(network)}` : "");

/** By network if none is named, else by account, stream and axis: the number of rows doesn't grow with the days. */
function useCoverage(network: string | undefined) {
  const of = network ? "network, account, stream, axis" : "network, '' AS account, '' AS stream, '' AS axis";
  const extents = `SELECT ${of}, min(since) AS since, max(until) AS until, min(read_at) AS read_at
    FROM meta.coverage_state WHERE kind = 'read' ${inNetwork(network)} GROUP BY ALL ORDER BY 1, 2, 3, 4`;
  const gaps = `SELECT network, account, stream, axis, since, until, kind, failed_at, error FROM meta.gaps
    WHERE since IS NOT NULL ${inNetwork(network)} ORDER BY since DESC LIMIT ${MOST_GAPS}`;
  const doubts = `SELECT doubt_id, network, account, stream, axis, since, until, reason FROM meta.doubts
    WHERE state = 'open' ${inNetwork(network)} LIMIT ${MOST_GAPS}`;
  return {
    extents: useLoad((signal) => sql<Extent>(extents, signal), [network], ["runs", "doubts"]),
    gaps: useLoad((signal) => sql<Gap>(gaps, signal), [network], ["runs", "doubts"]),
    doubts: useLoad((signal) => sql<Doubtful>(doubts, signal), [network], ["runs", "doubts"]),
  };
}

/** Rows that vanished, by account and day: only where one network is shown. */
function useVanished(network: string | undefined) {
  const query = `SELECT account, stream, transaction_day AS day, count(*) AS transactions FROM unified.transactions
    WHERE change = 'vanished' AND network = ${literal(network ?? "")} GROUP BY ALL`;
  const none = Promise.resolve({ rows: [] as Vanished[], warnings: [] });
  return useLoad((signal) => (network ? sql<Vanished>(query, signal) : none), [network], ["runs"]);
}

export function Completeness({ network }: { network?: string }) {
  const days = SPANS.find(([days]) => days === parameters.value.get("days"))?.[0] ?? "90";
  const [gap, setGap] = useState<Gap | null>(null);
  const { extents, gaps, doubts } = useCoverage(network);
  const vanished = useVanished(network);
  const end = Math.ceil(Date.now() / DAY) * DAY;
  const span = { first: end - Number(days) * DAY, days: Number(days) };
  const again = () => [extents, gaps, doubts].forEach((load) => load.again());
  const marks = (row: Extent): Mark[] => {
    const isOf = (one: { network: string; account: string; stream: string; axis?: string }) =>
      one.network === row.network && (!network || (one.account === row.account && one.stream === row.stream && one.axis === row.axis));
    const lost = vanished.value?.rows.filter(({ account, stream }) => account === row.account && stream === row.stream) ?? [];
    const next = (day: string) => new Date(Date.parse(day) + DAY).toISOString();
    return [
      ...(gaps.value?.rows.filter(isOf).map((gap) => ({ ...gap, text: `${gap.account}: ${gapText(gap)}`, open: () => setGap(gap) })) ?? []),
      ...(doubts.value?.rows.filter(isOf).map((doubt) => ({
        ...doubt,
        kind: "doubtful" as const,
        text: `${doubt.account}: Doubtful: ${doubt.reason}`,
        open: () => navigate(path("doubts", doubt.doubt_id)),
      })) ?? []),
      ...lost.map(({ day, transactions }) => ({
        since: day,
        until: next(day),
        kind: "vanished" as const,
        text: `${day}: ${counted(toNumber(transactions), "transaction")} vanished`,
      })),
    ];
  };
  return (
    <div class="panels">
      {network && (
        <p class="crumbs">
          <a href="/completeness">All networks</a> / <Foreign text={network} />
        </p>
      )}
      <Panel
        wide
        title={network ? "What was read, by account and day" : "What was read, by network and day"}
        aside={<Choice label="Span" options={SPANS} value={days} choose={(days) => setParameters({ days })} />}
      >
        <Loaded load={extents} rows={6}>
          {({ rows }) =>
            rows.length === 0 ? (
              <Empty>Nothing was read yet. The schedule reads what is due; `sluice backfill` reads history.</Empty>
            ) : (
              <>
                <Ticks span={span} />
                {rows.map((row) => (
                  <div class="heat">
                    <div class="label">
                      {network ? (
                        <>
                          <Foreign text={row.account} /> <span class="dim">{row.stream} by {row.axis}, </span>
                        </>
                      ) : (
                        <>
                          <a href={path("completeness", row.network)}>
                            <Foreign text={row.network} />
                          </a>{" "}
                        </>
                      )}
                      <span class="dim">
                        read <Age at={row.read_at} />
                      </span>
                    </div>
                    <Track span={span} read={row} marks={marks(row)} />
                  </div>
                ))}
                <Legend />
              </>
            )
          }
        </Loaded>
      </Panel>
      <Panel wide title="Gaps">
        <Loaded load={gaps}>
          {({ rows }) =>
            rows.length === 0 ? (
              <Empty>No window is missing between the first and the last that was read.</Empty>
            ) : (
              <>
                <GapTable gaps={rows} open={setGap} />
                {rows.length > 200 && <p class="dim">The newest 200 of {counted(rows.length, "gap")}.</p>}
              </>
            )
          }
        </Loaded>
      </Panel>
      {gap && <GapDialog gap={gap} close={() => setGap(null)} again={again} />}
    </div>
  );
}
