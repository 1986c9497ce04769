import { get } from "../lib/api";
import type { Numeric } from "../lib/exact";
import { bytes, count, counted, duration, literal, short } from "../lib/format";
import { useLoad, useSql } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { Job, SentRequest } from "../lib/types";
import { Crumbs, Fact, Rows, Select, type Column } from "../parts";
import { Badge, Empty, Foreign, Loaded, Panel, Time, Window } from "../ui";

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

/** A moment within SQL. */
const moment = (at: string) => `TIMESTAMP ${literal(at)}`;

/** Those before one: the moment that it began, and its id, for others may have begun then. */
function list(network: string, outcome: string, before: string): string {
  const [at = "", id = ""] = before.split(" ");
  const wanted = [
    network && `network = ${literal(network)}`,
    outcome && `outcome = ${literal(outcome)}`,
    at && `(started_at < ${moment(at)} OR started_at = ${moment(at)} AND run_id < ${literal(id)})`,
  ].filter(Boolean);
  return `SELECT ${COLUMNS} FROM meta.runs WHERE ${wanted.join(" AND ") || "true"} ORDER BY started_at DESC, run_id DESC LIMIT ${SHOWN}`;
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

/** What a job is to do. */
const work = (job: Job) => job.work as { kind: string; network?: string; selection?: Record<"account" | "since" | "until", string | null> };

const JOBS: Column<Job>[] = [
  ["Asked for", (job) => <Time at={job.created_at} seconds />],
  ["State", (job) => <Badge text={job.state} />],
  ["Job", (job) => work(job).kind],
  [
    "Network",
    (job) => (
      <>
        <Foreign text={work(job).network} /> <Foreign class="dim" text={work(job).selection?.account} />
      </>
    ),
  ],
  ["Window", (job) => <Window since={work(job).selection?.since ?? null} until={work(job).selection?.until ?? null} />],
  ["By", (job) => <Foreign text={job.token} />],
];

/** What goes on now: runs by service, and jobs. */
function InFlight() {
  const status = useLoad((signal) => get("/v1/status", { signal }), [], ["runs"]);
  const jobs = useLoad((signal) => get("/v1/jobs", { signal }), [], ["runs"]);
  return (
    <Panel wide title="In flight and waiting">
      <Loaded load={status} rows={1}>
        {({ services }) => {
          const busy = services.filter(({ runs, running }) => running && runs > 0);
          if (busy.length === 0) return <Empty>No service has a run in flight.</Empty>;
          return busy.map(({ host, process, runs }) => (
            <p>
              {counted(runs, "run")} on <Foreign text={host} /> <span class="dim">process {process}</span>
            </p>
          ));
        }}
      </Loaded>
      <Loaded load={jobs} rows={1}>
        {(jobs) => {
          const open = jobs.filter(({ state }) => state === "waiting" || state === "running");
          return open.length > 0 && <Rows label="Jobs" rows={open} columns={JOBS} />;
        }}
      </Loaded>
    </Panel>
  );
}

export function Runs() {
  const [network, outcome, before] = ["network", "outcome", "before"].map((name) => parameters.value.get(name) ?? "") as [string, string, string];
  const networks = useNetworks();
  const load = useSql<Run>(list(network, outcome, before), ["runs"]);
  const names = (networks.value ?? []).map(({ name }) => [name, name] as const);
  const choose = (what: string) => (value: string) => setParameters({ [what]: value, before: "" });
  const page = (before: string) => setParameters({ before }, false);
  return (
    <div class="panels">
      {!before && <InFlight />}
      <Panel
        wide
        title="Runs that ended, newest first"
        aside={
          <div class="choices">
            <Select label="Network" options={[["", "all"], ...names]} value={network} choose={choose("network")} />
            <Select label="Outcome" options={OUTCOMES} value={outcome} choose={choose("outcome")} />
          </div>
        }
      >
        <Loaded load={load} rows={8}>
          {({ rows }) => {
            const last = rows.length === SHOWN && rows[SHOWN - 1];
            return (
              <>
                {rows.length === 0 ? (
                  <Empty>No such run. `sluice run NETWORK` begins one, and so does the schedule.</Empty>
                ) : (
                  <Rows label="Runs" rows={rows} columns={RUNS} />
                )}
                <div class="row">
                  {before && (
                    <button type="button" onClick={() => page("")}>
                      Newest
                    </button>
                  )}
                  {last && (
                    <button type="button" onClick={() => page(`${last.started_at} ${last.run_id}`)}>
                      Older
                    </button>
                  )}
                </div>
              </>
            );
          }}
        </Loaded>
      </Panel>
    </div>
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

/** The page of the run with the requests of a slice. */
const requestsOf = ({ account, stream, axis, since, until }: Slice) => `?${new URLSearchParams({ account, stream, axis, since, until })}#requests`;

const SLICES: Column<Slice>[] = [
  ["Account", (slice) => <Foreign text={slice.account} />],
  ["Stream", (slice) => slice.stream],
  ["By", (slice) => slice.axis],
  [
    "Window",
    (slice) => (
      <a href={requestsOf(slice)}>
        <Window since={slice.since} until={slice.until} />
      </a>
    ),
  ],
  ["Outcome", (slice) => <Badge text={slice.complete ? "read" : slice.error_kind === "doubt" ? "doubtful" : "failed"} />],
  ["Requests", (slice) => count(slice.requests), "number"],
  ["Records", (slice) => count(slice.records), "number"],
  ["Error", (slice) => <Foreign text={slice.error} />, "long"],
];

function Slices({ id }: { id: string }) {
  const query = `SELECT account, stream, axis, since, until, requests, records, complete, error, error_kind FROM meta.coverage
    WHERE run_id = ${literal(id)} ORDER BY account, stream, axis, since LIMIT ${MOST}`;
  const load = useSql<Slice>(query);
  return (
    <Panel wide title="Slices">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? <Empty>This run read no slice to its end.</Empty> : <Rows label="Slices" rows={rows} columns={SLICES} most={MOST} />
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

const OF = ["account", "stream", "axis"];

/** Requests of the run; of a slice, and of the narrower ones that it was split into, if the URL names one. */
function Requests({ id }: { id: string }) {
  const [since, until] = [parameters.value.get("since"), parameters.value.get("until")];
  const of = OF.map((column) => [column, parameters.value.get(column)] as const);
  const wanted = of.flatMap(([column, value]) => (value === null ? [] : [` AND ${column} = ${literal(value)}`])).join("");
  const within = since && until ? ` AND window_since >= ${moment(since)} AND window_until <= ${moment(until)}` : "";
  const query = `SELECT * FROM meta.requests WHERE run_id = ${literal(id)}${wanted}${within} ORDER BY sent_at LIMIT ${MOST}`;
  const load = useSql<SentRequest>(query);
  return (
    <Panel wide title={wanted ? "Requests of a slice" : "Requests"}>
      <p id="requests" tabIndex={-1}>
        {wanted && (
          <>
            {of.map(([, value]) => (
              <>
                <Foreign text={value} />{" "}
              </>
            ))}
            <Window since={since} until={until} /> <a href={path("runs", id)}>All requests of the run</a>
          </>
        )}
      </p>
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>This run left no response.</Empty>
          ) : (
            <Rows label="Requests" rows={rows} columns={REQUESTS} most={MOST} />
          )
        }
      </Loaded>
    </Panel>
  );
}

export function RunDetail({ id }: { id: string }) {
  const load = useSql<Run>(`SELECT ${COLUMNS} FROM meta.runs WHERE run_id = ${literal(id)}`, ["runs"]);
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
