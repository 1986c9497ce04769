import { get, sql } from "../lib/api";
import type { Numeric } from "../lib/exact";
import { bytes, count, counted, duration, literal, short } from "../lib/format";
import { useLoad } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { SentRequest } from "../lib/types";
import { Crumbs, Fact, Rows, Select, windowCell, type Column } from "../parts";
import { Badge, Empty, Foreign, Loaded, Panel, Time } from "../ui";

const SHOWN = 100;
/** Slices and requests of a run that are listed. */
const MOST = 1_000;
const OUTCOMES = ["", "done", "partial", "doubtful", "failed"].map((one) => [one, one || "all"] as const);

interface Run {
  run_id: string;
  network: string;
  command: string;
  outcome: string;
  started_at: string;
  finished_at: string;
  connector_version: string | null;
  connector_digest: string | null;
  requests: Numeric;
  bytes: Numeric;
  native_rows: Numeric;
  new_versions: Numeric;
  rejects: Numeric;
  error: string | null;
  error_kind: string | null;
}

/** Columns that the list and the page of a run show. */
const COLUMNS = `run_id, network, command, outcome, started_at, finished_at, connector_version, connector_digest,
  requests, bytes, native_rows, new_versions, rejects, error, error_kind`;

function list(network: string, outcome: string): string {
  const wanted = [network && `network = ${literal(network)}`, outcome && `outcome = ${literal(outcome)}`].filter(Boolean);
  const where = wanted.length > 0 ? `WHERE ${wanted.join(" AND ")}` : "";
  return `SELECT ${COLUMNS} FROM meta.runs ${where} ORDER BY started_at DESC LIMIT ${SHOWN}`;
}

/** Names of the networks in the settings, to choose from. */
export function useNetworks() {
  return useLoad((signal) => get("/v1/networks", { signal }), [], ["networks"]);
}

const RUNS: Column<Run>[] = [
  [
    "Began",
    (run) => (
      <a href={path("runs", run.run_id)}>
        <Time at={run.started_at} seconds />
      </a>
    ),
  ],
  ["Network", (run) => <Foreign text={run.network} />],
  ["Outcome", (run) => <Badge text={run.outcome} />],
  ["Command", (run) => run.command],
  ["Took", (run) => duration(run.started_at, run.finished_at), "number"],
  ["Requests", (run) => count(run.requests), "number"],
  ["Records", (run) => count(run.native_rows), "number"],
  ["New versions", (run) => count(run.new_versions), "number"],
  ["Rejects", (run) => count(run.rejects), "number"],
];

export function Runs() {
  const network = parameters.value.get("network") ?? "";
  const outcome = parameters.value.get("outcome") ?? "";
  const networks = useNetworks();
  const load = useLoad((signal) => sql<Run>(list(network, outcome), signal), [network, outcome], ["runs"]);
  const names = (networks.value ?? []).map(({ name }) => [name, name] as const);
  return (
    <Panel
      wide
      title="Runs that ended, newest first"
      aside={
        <div class="choices">
          <Select label="Network" options={[["", "all"], ...names]} value={network} choose={(network) => setParameters({ network })} />
          <Select label="Outcome" options={OUTCOMES} value={outcome} choose={(outcome) => setParameters({ outcome })} />
        </div>
      }
    >
      <Loaded load={load} rows={8}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>No such run. `sluice run NETWORK` begins one, and so does the schedule.</Empty>
          ) : (
            <Rows label="Runs" rows={rows} columns={RUNS} />
          )
        }
      </Loaded>
    </Panel>
  );
}

function Facts({ run }: { run: Run }) {
  return (
    <>
      <dl class="facts">
        <Fact name="Network">
          <Foreign text={run.network} /> <Badge text={run.outcome} />
        </Fact>
        <Fact name="Command">{run.command}</Fact>
        <Fact name="Began">
          <Time at={run.started_at} seconds />
        </Fact>
        <Fact name="Took">{duration(run.started_at, run.finished_at)}</Fact>
        <Fact name="Connector">
          <Foreign text={run.connector_version} /> <code title={run.connector_digest ?? ""}>{short(run.connector_digest ?? "")}</code>
        </Fact>
        <Fact name="Received">
          {count(run.requests)} requests, {bytes(run.bytes)}
        </Fact>
        <Fact name="Records">
          {count(run.native_rows)}, {count(run.new_versions)} new versions, {count(run.rejects)} rejects
        </Fact>
      </dl>
      {run.error && (
        <p class="note bad">
          {run.error_kind && <Badge text={run.error_kind} tone="bad" />} <Foreign text={run.error} />
        </p>
      )}
    </>
  );
}

interface Slice {
  account: string;
  stream: string;
  axis: string;
  since: string;
  until: string;
  requests: Numeric;
  records: Numeric;
  complete: boolean;
  error: string | null;
  error_kind: string | null;
}

const SLICES: Column<Slice>[] = [
  ["Account", (slice) => <Foreign text={slice.account} />],
  ["Stream", (slice) => slice.stream],
  ["By", (slice) => slice.axis],
  ["Window", windowCell],
  ["Outcome", (slice) => <Badge text={slice.complete ? "read" : slice.error_kind === "doubt" ? "doubtful" : "failed"} />],
  ["Requests", (slice) => count(slice.requests), "number"],
  ["Records", (slice) => count(slice.records), "number"],
  ["Error", (slice) => <Foreign text={slice.error} />, "long"],
];

function Slices({ id }: { id: string }) {
  const query = `SELECT account, stream, axis, since, until, requests, records, complete, error, error_kind FROM meta.coverage
    WHERE run_id = ${literal(id)} ORDER BY account, stream, axis, since LIMIT ${MOST}`;
  const load = useLoad((signal) => sql<Slice>(query, signal), [id]);
  return (
    <Panel wide title="Slices">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? <Empty>This run read no slice to its end.</Empty> : <Rows label="Slices" rows={rows} columns={SLICES} />
        }
      </Loaded>
    </Panel>
  );
}

const REQUESTS: Column<SentRequest>[] = [
  [
    "Sent",
    (request) => (
      <a href={`${path("runs", request.run_id, "requests", request.request_id)}?attempt=${request.attempt}`}>
        <Time at={request.sent_at} seconds />
      </a>
    ),
  ],
  ["Account", (request) => <Foreign text={request.account} />],
  [
    "Request",
    (request) => (
      <>
        <Foreign text={request.request_key} /> {request.attempt > 1 && <span class="dim">attempt {request.attempt}</span>}
      </>
    ),
  ],
  ["Status", (request) => request.status, "number"],
  ["Outcome", (request) => <Badge text={request.outcome} />],
  ["Bytes", (request) => bytes(request.body_bytes), "number"],
  [
    "URL",
    (request) => (
      <code>
        {request.method} <Foreign text={request.url} />
      </code>
    ),
    "long",
  ],
];

function Requests({ id }: { id: string }) {
  const query = `SELECT * FROM meta.requests WHERE run_id = ${literal(id)} ORDER BY sent_at LIMIT ${MOST}`;
  const load = useLoad((signal) => sql<SentRequest>(query, signal), [id]);
  return (
    <Panel wide title="Requests">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>This run left no response.</Empty>
          ) : (
            <>
              <Rows label="Requests" rows={rows} columns={REQUESTS} />
              <p class="dim">
                {counted(rows.length, "request")}
                {rows.length === MOST ? ", the first ones" : ""}
              </p>
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

export function RunDetail({ id }: { id: string }) {
  const load = useLoad((signal) => sql<Run>(`SELECT ${COLUMNS} FROM meta.runs WHERE run_id = ${literal(id)}`, signal), [id], ["runs"]);
  return (
    <div class="panels">
      <Crumbs up={[["Runs", "/runs"]]}>
        <code>{id}</code>
      </Crumbs>
      <Panel wide title="Run">
        <Loaded load={load}>{({ rows: [run] }) => (run ? <Facts run={run} /> : <Empty>No run {id} has ended.</Empty>)}</Loaded>
      </Panel>
      <Slices id={id} />
      <Requests id={id} />
    </div>
  );
}
