import { client, answer, sql } from "../lib/api";
import { bytes, count, counted, duration, literal, short } from "../lib/format";
import { useLoad } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { Network, Run, SentRequest, Slice } from "../lib/types";
import { Badge, Empty, Foreign, Loaded, Panel, Table, Time, Window } from "../ui";

const SHOWN = 100;
const OUTCOMES = ["", "done", "partial", "doubtful", "failed"];

/** Columns that the list and the page of a run show. */
const COLUMNS = `run_id, network, command, outcome, started_at, finished_at, connector_version, connector_digest, slices, slices_failed,
  requests, bytes, native_rows, new_versions, rejects, error, error_kind`;

function list(network: string, outcome: string): string {
  const wanted = [network && `network = ${literal(network)}`, outcome && `outcome = ${literal(outcome)}`].filter(Boolean);
  const where = wanted.length > 0 ? `WHERE ${wanted.join(" AND ")}` : "";
  return `SELECT ${COLUMNS} FROM meta.runs ${where} ORDER BY started_at DESC LIMIT ${SHOWN}`;
}

/** Names of the networks in the settings, to choose from. */
export function useNetworks() {
  return useLoad((signal) => answer<Network[]>(client.GET("/v1/networks", { parseAs: "text", signal })), [], ["networks"]);
}

export function Runs() {
  const network = parameters.value.get("network") ?? "";
  const outcome = parameters.value.get("outcome") ?? "";
  const networks = useNetworks();
  const load = useLoad((signal) => sql<Run>(list(network, outcome), signal), [network, outcome], ["runs"]);
  return (
    <Panel
      wide
      title="Runs that ended, newest first"
      aside={
        <div class="choices">
          <label>
            Network{" "}
            <select value={network} onChange={(event) => setParameters({ network: event.currentTarget.value })}>
              <option value="">all</option>
              {networks.value?.map(({ name }) => <option value={name}>{name}</option>)}
            </select>
          </label>
          <label>
            Outcome{" "}
            <select value={outcome} onChange={(event) => setParameters({ outcome: event.currentTarget.value })}>
              {OUTCOMES.map((one) => (
                <option value={one}>{one || "all"}</option>
              ))}
            </select>
          </label>
        </div>
      }
    >
      <Loaded load={load} rows={8}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>No such run. `sluice run NETWORK` begins one, and so does the schedule.</Empty>
          ) : (
            <Table
              label="Runs"
              head={["Began", "Network", "Outcome", "Command", ["Took", "number"], ["Requests", "number"], ["Records", "number"], ["New versions", "number"], ["Rejects", "number"]]}
            >
              {rows.map((run) => (
                <tr>
                  <td>
                    <a href={path("runs", run.run_id)}>
                      <Time at={run.started_at} seconds />
                    </a>
                  </td>
                  <td>
                    <Foreign text={run.network} />
                  </td>
                  <td>
                    <Badge text={run.outcome} />
                  </td>
                  <td>{run.command}</td>
                  <td class="number">{duration(run.started_at, run.finished_at)}</td>
                  <td class="number">{count(run.requests)}</td>
                  <td class="number">{count(run.native_rows)}</td>
                  <td class="number">{count(run.new_versions)}</td>
                  <td class="number">{count(run.rejects)}</td>
                </tr>
              ))}
            </Table>
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
        <div>
          <dt>Network</dt>
          <dd>
            <Foreign text={run.network} /> <Badge text={run.outcome} />
          </dd>
        </div>
        <div>
          <dt>Command</dt>
          <dd>{run.command}</dd>
        </div>
        <div>
          <dt>Began</dt>
          <dd>
            <Time at={run.started_at} seconds />
          </dd>
        </div>
        <div>
          <dt>Took</dt>
          <dd>{duration(run.started_at, run.finished_at)}</dd>
        </div>
        <div>
          <dt>Connector</dt>
          <dd title={run.connector_digest ?? ""}>
            <Foreign text={run.connector_version} /> <code>{short(run.connector_digest ?? "")}</code>
          </dd>
        </div>
        <div>
          <dt>Received</dt>
          <dd>
            {count(run.requests)} requests, {bytes(run.bytes)}
          </dd>
        </div>
        <div>
          <dt>Records</dt>
          <dd>
            {count(run.native_rows)}, {count(run.new_versions)} new versions, {count(run.rejects)} rejects
          </dd>
        </div>
      </dl>
      {run.error && (
        <p class="note bad">
          {run.error_kind && <Badge text={run.error_kind} tone="bad" />} <Foreign text={run.error} />
        </p>
      )}
    </>
  );
}

function Slices({ id }: { id: string }) {
  const query = `SELECT account, stream, axis, since, until, read_at, requests, records, complete, error, error_kind FROM meta.coverage
    WHERE run_id = ${literal(id)} ORDER BY account, stream, axis, since LIMIT 1000`;
  const load = useLoad((signal) => sql<Slice>(query, signal), [id]);
  return (
    <Panel wide title="Slices">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>This run read no slice to its end.</Empty>
          ) : (
            <Table label="Slices" head={["Account", "Stream", "By", "Window", "Outcome", ["Requests", "number"], ["Records", "number"], "Error"]}>
              {rows.map((slice) => (
                <tr>
                  <td>
                    <Foreign text={slice.account} />
                  </td>
                  <td>{slice.stream}</td>
                  <td>{slice.axis}</td>
                  <td>
                    <Window since={slice.since} until={slice.until} />
                  </td>
                  <td>
                    <Badge text={slice.complete ? "read" : slice.error_kind === "doubt" ? "doubtful" : "failed"} />
                  </td>
                  <td class="number">{count(slice.requests)}</td>
                  <td class="number">{count(slice.records)}</td>
                  <td class="long">
                    <Foreign text={slice.error} />
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Requests({ id }: { id: string }) {
  const query = `SELECT * FROM meta.requests WHERE run_id = ${literal(id)} ORDER BY sent_at LIMIT 1000`;
  const load = useLoad((signal) => sql<SentRequest>(query, signal), [id]);
  return (
    <Panel wide title="Requests">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>This run left no response.</Empty>
          ) : (
            <>
              <Table label="Requests" head={["Sent", "Account", "Request", ["Status", "number"], "Outcome", ["Bytes", "number"], "URL"]}>
                {rows.map((request) => (
                  <tr>
                    <td>
                      <a href={`${path("runs", id, "requests", request.request_id)}?attempt=${request.attempt}`}>
                        <Time at={request.sent_at} seconds />
                      </a>
                    </td>
                    <td>
                      <Foreign text={request.account} />
                    </td>
                    <td>
                      <Foreign text={request.request_key} /> {request.attempt > 1 && <span class="dim">attempt {request.attempt}</span>}
                    </td>
                    <td class="number">{request.status}</td>
                    <td>
                      <Badge text={request.outcome} />
                    </td>
                    <td class="number">{bytes(request.body_bytes)}</td>
                    <td class="long">
                      <code>
                        {request.method} <Foreign text={request.url} />
                      </code>
                    </td>
                  </tr>
                ))}
              </Table>
              <p class="dim">{counted(rows.length, "request")}{rows.length === 1000 ? ", the first ones" : ""}</p>
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
      <p class="crumbs">
        <a href="/runs">Runs</a> / <code>{id}</code>
      </p>
      <Panel wide title="Run">
        <Loaded load={load}>{({ rows: [run] }) => (run ? <Facts run={run} /> : <Empty>No run {id} has ended.</Empty>)}</Loaded>
      </Panel>
      <Slices id={id} />
      <Requests id={id} />
    </div>
  );
}
