import { useState } from "preact/hooks";
import { get, post } from "../lib/api";
import { bytes, counted } from "../lib/format";
import { useAction, useLoad, type Load } from "../lib/load";
import { path } from "../lib/route";
import type { Call, CheckReport, Network, NetworkCheck, NetworkStatus, Pause, Status } from "../lib/types";
import { Fact, Rows, type Column } from "../parts";
import { ActionButton, Age, Badge, Dialog, Empty, Failed, Foreign, Loaded, Outcome, Panel, Time } from "../ui";
import { useNetworks } from "./runs";

function PauseDialog({ network, close, again }: { network: Network; close: () => void; again: () => void }) {
  const [account, setAccount] = useState("");
  const [reason, setReason] = useState("");
  const action = useAction();
  const pause = async () => {
    const params = { path: { network: network.name } };
    await post("/v1/networks/{network}/pause", { params, body: { account: account || null, reason } });
    again();
    close();
  };
  return (
    <Dialog title={`Pause ${network.name}`} close={close}>
      <p>The schedule leaves it alone until it is resumed. Runs that go on end as usual.</p>
      <label for="account">Account</label>
      <select id="account" value={account} onChange={(event) => setAccount(event.currentTarget.value)}>
        <option value="">all of {network.name}</option>
        {network.accounts.map(({ name }) => (
          <option value={name}>{name}</option>
        ))}
      </select>
      <label for="why">Reason</label>
      <input id="why" type="text" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      <div class="row">
        <ActionButton role="operate" kind="primary" action={action} onClick={() => action.run(pause)}>
          Pause
        </ActionButton>
        <button type="button" onClick={close}>
          Cancel
        </button>
      </div>
      <Outcome action={action} />
    </Dialog>
  );
}

function Paused({ network, pause, again }: { network: Network; pause: Pause; again: () => void }) {
  const action = useAction();
  const resume = async () => {
    const params = { path: { network: network.name } };
    await post("/v1/networks/{network}/resume", { params, body: { account: pause.account } });
    again();
  };
  return (
    <div class="note warn">
      <p>
        <Badge text="paused" /> <Foreign text={pause.account ?? "all accounts"} /> since <Time at={pause.paused_at} />{" "}
        {pause.reason && (
          <>
            : <Foreign text={pause.reason} />
          </>
        )}
      </p>
      <ActionButton role="operate" action={action} onClick={() => action.run(resume)}>
        Resume
      </ActionButton>
      <Outcome action={action} />
    </div>
  );
}

const UNITS = [
  [86_400, "day"],
  [3_600, "hour"],
  [60, "minute"],
  [1, "second"],
] as const;

/** `day`, `6 hours`. */
function period(seconds: number): string {
  const [size, unit] = UNITS.find(([size]) => seconds % size === 0) ?? UNITS[3];
  return seconds === size ? unit : counted(seconds / size, unit);
}

function lookBack({ every_secs, days, axis, requests }: Network["look_back"][number]): string {
  const some = requests === null ? "" : `, at most ${counted(requests, "request")}`;
  return `every ${period(every_secs)}: ${counted(days, "day")}${axis ? ` by ${axis}` : ""}${some}`;
}

/** What the file states, or the connector where it states nothing. */
function Stated({ network }: { network: Network }) {
  const { schedule, look_back, rate, stated } = network;
  const own = (what: string) => !stated.includes(what) && <span class="dim"> (the connector’s own)</span>;
  return (
    <>
      <Fact name="Schedule">
        {schedule ? <code>{schedule}</code> : <span class="dim">not known</span>}
        {schedule && own("schedule")}
      </Fact>
      <Fact name="Reads again">
        <ul class="list">
          {look_back.map((rule) => (
            <li>{lookBack(rule)}</li>
          ))}
        </ul>
        {look_back.length > 0 && own("look_back")}
      </Fact>
      <Fact name="Rate">
        {rate ? (
          <>
            {counted(rate.requests, "request")} in {counted(rate.per_secs, "second")}, {rate.concurrency} at once{own("rate")}
          </>
        ) : (
          <span class="dim">none is stated</span>
        )}
      </Fact>
    </>
  );
}

function Standing({ status }: { status: NetworkStatus }) {
  return (
    <>
      <Fact name="Next runs">
        {status.next.length === 0 ? (
          <span class="dim">none</span>
        ) : (
          <ul class="list">
            {status.next.map((at) => (
              <li>
                <Time at={at} seconds={!at.endsWith(":00Z")} />
              </li>
            ))}
          </ul>
        )}
      </Fact>
      <Fact name="Streams">
        {status.fresh > 0 && <Badge text={`${status.fresh} fresh`} tone="good" />}{" "}
        {status.stale > 0 && <Badge text={`${status.stale} stale`} tone="warn" />}{" "}
        {status.never_read > 0 && <Badge text={`${status.never_read} never read`} tone="warn" />}{" "}
        {status.unscheduled > 0 && <Badge text={`${status.unscheduled} not scheduled`} />}{" "}
        {status.gaps > 0 && <Badge text={counted(status.gaps, "gap")} tone="bad" />}
      </Fact>
    </>
  );
}

function Findings({ texts, tone }: { texts: string[]; tone: "bad" | "warn" }) {
  return (
    <>
      {texts.map((text) => (
        <p class={`note ${tone}`}>
          <Foreign text={text} />
        </p>
      ))}
    </>
  );
}

interface OneProps {
  network: Network;
  status?: NetworkStatus;
  check?: NetworkCheck;
  again: () => void;
}

function One({ network, status, check, again }: OneProps) {
  const [isPausing, setPausing] = useState(false);
  const isPaused = network.paused.some(({ account }) => account === null);
  return (
    <section class="setting" aria-label={`Settings of ${network.name}`}>
      <header>
        <h3>
          <Foreign text={network.name} />
        </h3>
        <span class="dim">
          connector{" "}
          <a href={path("connectors", network.connector)}>
            <Foreign text={network.connector} />
          </a>
          , {counted(network.accounts.length, "account")}
        </span>
        {!isPaused && (
          <button type="button" onClick={() => setPausing(true)}>
            Pause …
          </button>
        )}
      </header>
      {network.paused.map((pause) => (
        <Paused key={pause.account ?? ""} network={network} pause={pause} again={again} />
      ))}
      {check && <Findings texts={check.problems} tone="bad" />}
      {check && <Findings texts={check.notes} tone="warn" />}
      <dl class="facts">
        <Stated network={network} />
        {status && <Standing status={status} />}
      </dl>
      <details>
        <summary>Accounts</summary>
        <ul class="list columns">
          {network.accounts.map(({ name, id }) => (
            <li>
              <Foreign text={name} /> {id !== name && <Foreign class="dim" text={`in tables ${id}`} />}
            </li>
          ))}
        </ul>
      </details>
      {isPausing && <PauseDialog network={network} close={() => setPausing(false)} again={again} />}
    </section>
  );
}

/** What `sluice check` finds. That of a network stands with it. */
function Check({ load }: { load: Load<CheckReport> }) {
  return (
    <Panel
      wide
      title="Check"
      aside={
        <button type="button" disabled={load.isLoading} onClick={load.again}>
          Check again
        </button>
      }
    >
      <Loaded load={load}>
        {({ networks, refused, problems }) => {
          const wrong = networks.filter(({ problems }) => problems.length > 0).map(({ network }) => network);
          return (
            <>
              {wrong.length > 0 && <p class="note bad">Wrong: {wrong.join(", ")}. See each below.</p>}
              <Findings texts={problems} tone="bad" />
              <Findings texts={refused.map(({ file, reason }) => `${file} is refused: ${reason}`)} tone="warn" />
              {wrong.length + problems.length + refused.length === 0 && <p class="note good">Nothing is wrong.</p>}
            </>
          );
        }}
      </Loaded>
    </Panel>
  );
}

const SERVICES: Column<Status["services"][number]>[] = [
  ["Host", (service) => service.host],
  ["Process", (service) => service.process, "number"],
  ["Since", (service) => <Time at={service.started_at} />],
  ["Noted", (service) => <Age at={service.noted_at} />],
  ["Runs", (service) => service.runs, "number"],
  ["Memory", (service) => (service.resident_bytes === null ? "–" : bytes(service.resident_bytes)), "number"],
];

function Services({ load }: { load: Load<Status> }) {
  return (
    <Panel wide title="Services">
      <Loaded load={load}>
        {({ services }) =>
          services.length === 0 ? <Empty>No service has noted itself.</Empty> : <Rows label="Services" rows={services} columns={SERVICES} />
        }
      </Loaded>
    </Panel>
  );
}

/** Calls that are listed. */
const MOST_CALLS = 50;

const CALLS: Column<Call>[] = [
  ["When", (call) => <Time at={call.called_at} seconds />],
  ["Token", (call) => <Foreign text={call.token} />],
  [
    "Call",
    (call) => (
      <code>
        {call.method} <Foreign text={call.path} />
      </code>
    ),
  ],
  ["Status", (call) => call.status, "number"],
];

function Audit() {
  const load = useLoad((signal) => get("/v1/audit", { signal }), [], ["networks", "doubts", "connectors", "alarms"]);
  return (
    <Panel wide title="Calls that changed something">
      <Loaded load={load}>
        {(calls) =>
          calls.length === 0 ? <Empty>None yet.</Empty> : <Rows label="Calls" rows={calls.slice(0, MOST_CALLS)} columns={CALLS} most={MOST_CALLS} />
        }
      </Loaded>
    </Panel>
  );
}

export function Settings() {
  const networks = useNetworks();
  const status = useLoad((signal) => get("/v1/status", { signal }), [], ["networks"]);
  const check = useLoad((signal) => get("/v1/check", { signal }), []);
  const again = () => [networks, status].forEach((load) => load.again());
  return (
    <div class="panels">
      <Check load={check} />
      <Panel wide title="Networks, as their files have them">
        <p class="dim">Files in networks/ are read anew at each run; secrets and references to them never leave the server.</p>
        <Loaded load={networks} rows={6}>
          {(found) =>
            found.length === 0 ? (
              <Empty>No network is set up: add networks/NAME.json.</Empty>
            ) : (
              found.map((network) => (
                <One
                  key={network.name}
                  network={network}
                  status={status.value?.networks.find((one) => one.network === network.connector)}
                  check={check.value?.networks.find((one) => one.network === network.name)}
                  again={again}
                />
              ))
            )
          }
        </Loaded>
        {status.failure && <Failed failure={status.failure} again={status.again} />}
      </Panel>
      <Services load={status} />
      <Audit />
    </div>
  );
}
