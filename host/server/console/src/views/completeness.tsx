import { useState } from "preact/hooks";
import { count } from "../lib/format";
import { run } from "../lib/jobs";
import { useAction } from "../lib/load";
import { navigate, parameters, path, setParameters } from "../lib/route";
import type { Gap } from "../lib/types";
import { accountCell, Crumbs, Rows, SPANS, StreamName, windowCell, type Column } from "../parts";
import { ActionButton, Badge, Choice, Dialog, Empty, Foreign, Loaded, Outcome, Panel, Time, Window } from "../ui";
import { gapCounts, LISTED_GAPS, tracksOf, useCoverage, type Coverage, type GapMark, type Track } from "./coverage";
import { DAY, HeatRow, Legend, marksOf, Ticks, type Span } from "./heat";
import { useNetworks } from "./runs";

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
        <StreamName of={gap} />
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

const GAPS = (open: (gap: Gap) => void): Column<Gap>[] => [
  ["Network", accountCell],
  [
    "Stream",
    (gap) => (
      <>
        {gap.stream} <span class="dim">by {gap.axis}</span>
      </>
    ),
  ],
  ["Window", windowCell],
  ["Kind", (gap) => <Badge text={gap.kind} tone={gap.kind === "failed" ? "bad" : "warn"} />],
  ["Why", (gap) => <Foreign text={gap.error} />, "long"],
  [
    "",
    (gap) => (
      <button type="button" onClick={() => open(gap)}>
        Open
      </button>
    ),
  ],
];

function Gaps({ coverage, open }: { coverage: Coverage; open: (gap: Gap) => void }) {
  const { total } = gapCounts(coverage);
  return (
    <Panel wide title="Gaps">
      <Loaded load={coverage.listed}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>No window is missing between the first and the last that was read.</Empty>
          ) : (
            <>
              <Rows label="Gaps" rows={rows} columns={GAPS(open)} />
              {total > rows.length && (
                <p class="dim">
                  The newest {LISTED_GAPS} of {count(total)} gaps.
                </p>
              )}
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Heat({ coverage, network, span, open }: { coverage: Coverage; network?: string; span: Span; open: (gap: GapMark) => void }) {
  const rows: Track[] = tracksOf(coverage, network);
  if (rows.length === 0) return <Empty>Nothing was read yet. The schedule reads what is due; `sluice backfill` reads history.</Empty>;
  return (
    <>
      <Ticks span={span} />
      {rows.map((row) => (
        <HeatRow key={`${row.network} ${row.account} ${row.stream} ${row.axis}`} row={row} span={span} marks={marksOf(coverage, row, open, span.first)} />
      ))}
      <Legend />
    </>
  );
}

export function Completeness({ network }: { network?: string }) {
  const days = SPANS.find(([days]) => days === parameters.value.get("days"))?.[0] ?? "90";
  const [gap, setGap] = useState<Gap | null>(null);
  const coverage = useCoverage(network, days);
  const end = Math.ceil(Date.now() / DAY) * DAY;
  const span = { first: end - Number(days) * DAY, days: Number(days) };
  const again = () => [coverage.tracks, coverage.marks, coverage.counts, coverage.listed, coverage.doubts].forEach((load) => load.again());
  // A mark of a network may stand for several accounts: they are in its own view.
  const open = (mark: GapMark) => (network ? setGap(mark) : navigate(`${path("completeness", mark.network)}?days=${days}`));
  return (
    <div class="panels">
      {network && (
        <Crumbs up={[["All networks", "/completeness"]]}>
          <Foreign text={network} />
        </Crumbs>
      )}
      <Panel
        wide
        title={network ? "What was read, by account and day" : "What was read, by network and day"}
        aside={<Choice label="Span" options={SPANS} value={days} choose={(days) => setParameters({ days })} />}
      >
        <Loaded load={coverage.tracks} rows={6}>
          {() => <Heat coverage={coverage} network={network} span={span} open={open} />}
        </Loaded>
      </Panel>
      <Gaps coverage={coverage} open={setGap} />
      {gap && <GapDialog gap={gap} close={() => setGap(null)} again={again} />}
    </div>
  );
}
