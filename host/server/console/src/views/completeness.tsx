import { useRef } from "preact/hooks";
import { count } from "../lib/format";
import { run } from "../lib/jobs";
import { together, useAction } from "../lib/load";
import { navigate, parameters, path, setParameters } from "../lib/route";
import type { Gap, Stream } from "../lib/types";
import { accountCell, Crumbs, isSameStream, Rows, SPANS, StreamName, windowCell, type Column } from "../parts";
import { ActionButton, Age, Badge, Choice, Dialog, Empty, Failed, Foreign, Loaded, Outcome, Panel, Window } from "../ui";
import { doubtOf, gapCounts, LISTED_GAPS, networkOf, tracksOf, useCoverage, whyUnread, type Coverage, type Failing, type Track } from "./coverage";
import { DAY, HeatRow, Legend, marksOf, Ticks, type Span } from "./heat";

/** What is missing: a window, or all of an account's stream, or all of an account. */
interface Missing extends Stream {
  since: string | null;
  until: string | null;
}

const NAMES = ["account", "stream", "axis", "since", "until"] as const;

/** The URL of what is missing. */
function missingUrl(of: Missing): string {
  const days = parameters.value.get("days");
  const query = new URLSearchParams(days ? { days } : {});
  for (const name of NAMES) query.set(name, of[name] ?? "");
  return `${path("completeness", of.network)}?${query}`;
}

/** What is missing with its reason, and what reads it. `found`: the gap, if it is one now. */
function MissingDialog({ of, found, coverage, close }: { of: Missing; found?: Gap; coverage: Coverage; close: () => void }) {
  const known = useRef(found);
  known.current ??= found;
  const gap = known.current;
  const action = useAction();
  const networks = coverage.networks.value;
  const { account, stream, axis, since, until } = of;
  const network = networkOf(networks, of);
  const doubt = gap && doubtOf(coverage, gap);
  const failed = gap ?? (since ? undefined : coverage.failing.value?.rows.find((one) => isSameStream(one, of)));
  const read = async () => {
    const window = !since || !until || axis === "none" ? {} : { axis, since, until };
    const job = await run({ network: network?.name ?? of.network, account, ...(stream && { stream }), ...window });
    together(Object.values(coverage)).again();
    return job.state === "doubtful" ? "It was read, and the answer is doubtful: see the doubts." : "It was read.";
  };
  const title = !since ? "Nothing of it was read" : doubt ? "A window that is held back" : gap?.kind === "failed" ? "A read that failed" : "A window that was never read";
  return (
    <Dialog title={title} close={close}>
      <p>
        {stream ? <StreamName of={of} /> : accountCell(of)}
        <br />
        {since && <Window since={since} until={until} />}
      </p>
      {since && !gap && coverage.listed.value && <p class="note good">Nothing of it is missing now.</p>}
      {failed?.failed_at && (
        <p>
          Failed <Age at={failed.failed_at} />
        </p>
      )}
      {doubt && (
        <p class="note warn">
          {doubt.reason} <a href={path("doubts", doubt.doubt_id)}>See the doubt</a>
        </p>
      )}
      {failed?.error && !doubt && (
        <p class="note bad">
          <Foreign text={failed.error} />
        </p>
      )}
      {networks && (gap?.kind === "never-read" || !since) && whyUnread(network, of).map((text) => <p>{text}</p>)}
      <div class="row">
        <ActionButton role="operate" kind="primary" action={action} disabled={action.done !== undefined} onClick={() => action.run(read)}>
          {action.isBusy ? "Reading …" : since ? "Read this window now" : "Read it now"}
        </ActionButton>
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
      <Outcome action={action} />
    </Dialog>
  );
}

const streamCell = ({ stream, axis }: Stream) => (
  <>
    {stream} <span class="dim">by {axis}</span>
  </>
);

/** Known once the settings are. */
const unread = ({ networks: { value } }: Coverage, gap: Gap) => value && gap.kind === "never-read" && whyUnread(networkOf(value, gap), gap).slice(-2).join(" ");

/** A doubt is no failure, and leads to what is doubted. */
const kindCell = (coverage: Coverage) => (gap: Gap) => {
  const doubt = doubtOf(coverage, gap);
  if (!doubt) return <Badge text={gap.kind} tone={gap.kind === "failed" ? "bad" : "warn"} />;
  return (
    <a href={path("doubts", doubt.doubt_id)}>
      <Badge text="doubtful" />
    </a>
  );
};

const whyCell = (coverage: Coverage): Column<Gap> => [
  "Why",
  (gap) => <Foreign text={doubtOf(coverage, gap)?.reason ?? gap.error ?? (unread(coverage, gap) || "")} />,
  "long",
];

const gaps = (coverage: Coverage): Column<Gap>[] => [
  ["Network", accountCell],
  ["Stream", streamCell],
  ["Window", windowCell],
  ["Kind", kindCell(coverage)],
  whyCell(coverage),
  ["", (gap) => <a href={missingUrl(gap)}>Open</a>],
];

const failing = (coverage: Coverage): Column<Failing>[] => [
  ["Network", accountCell],
  ["Stream", streamCell],
  ["Outcome", kindCell(coverage)],
  ["When", (stream) => <Age at={stream.failed_at} />],
  ["Last read", (stream) => <Age at={stream.read_at} />],
  whyCell(coverage) as Column<Failing>,
];

const LAST = "Streams whose last read failed or is doubtful";

/** Streams whose last read didn't get into the tables, by name. */
function LastFailed({ coverage }: { coverage: Coverage }) {
  return (
    <Panel wide title={LAST}>
      <Loaded load={coverage.failing}>
        {({ rows }) => (rows.length === 0 ? <Empty>None.</Empty> : <Rows label={LAST} rows={rows} columns={failing(coverage)} most={LISTED_GAPS} />)}
      </Loaded>
    </Panel>
  );
}

function Gaps({ coverage }: { coverage: Coverage }) {
  const { total } = gapCounts(coverage);
  return (
    <Panel wide title="Gaps">
      <Loaded load={coverage.listed}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>No window is missing between the first and the last that was read.</Empty>
          ) : (
            <>
              <Rows label="Gaps" rows={rows} columns={gaps(coverage)} />
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

function Heat({ coverage, network, span, open }: { coverage: Coverage; network?: string; span: Span; open: (of: Missing) => void }) {
  const rows: Track[] = tracksOf(coverage, network);
  if (rows.length === 0) return <Empty>Nothing was read yet. The schedule reads what is due; `sluice backfill` reads history.</Empty>;
  return (
    <>
      <Ticks span={span} />
      {rows.map((row) => (
        <HeatRow key={`${row.network} ${row.account} ${row.stream} ${row.axis}`} row={row} span={span} marks={marksOf(coverage, row, open, span.first)} open={open} />
      ))}
      <Legend />
    </>
  );
}

export function Completeness({ network }: { network?: string }) {
  const days = SPANS.find(([days]) => days === parameters.value.get("days"))?.[0] ?? "90";
  const coverage = useCoverage(network, days);
  const { tracks, marks, counts, doubts, vanished, networks } = coverage;
  const end = Math.ceil(Date.now() / DAY) * DAY;
  const span = { first: end - Number(days) * DAY, days: Number(days) };
  // A mark of a network may stand for several accounts: they are in its own view.
  const open = (of: Missing) => navigate(network ? missingUrl(of) : `${path("completeness", of.network)}?days=${days}`);
  const named = (name: string) => parameters.value.get(name) ?? "";
  const of: Missing | false = !!network && !!named("account") && {
    network,
    account: named("account"),
    stream: named("stream"),
    axis: named("axis"),
    since: named("since") || null,
    until: named("until") || null,
  };
  const all: Gap[] = [...(coverage.listed.value?.rows ?? []), ...(coverage.marks.value?.rows ?? [])];
  const found = of ? all.find((gap) => isSameStream(gap, of) && gap.since === of.since && gap.until === of.until) : undefined;
  const close = () => setParameters(Object.fromEntries(NAMES.map((name) => [name, ""])));
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
        <Loaded load={together([tracks, marks, counts, doubts, vanished])} rows={6}>
          {() => <Heat coverage={coverage} network={network} span={span} open={open} />}
        </Loaded>
        {networks.failure && <Failed failure={networks.failure} again={networks.again} />}
      </Panel>
      <Gaps coverage={coverage} />
      <LastFailed coverage={coverage} />
      {of && <MissingDialog key={missingUrl(of)} of={of} found={found} coverage={coverage} close={close} />}
    </div>
  );
}
