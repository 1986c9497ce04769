import { useState } from "preact/hooks";
import { answer, client } from "../lib/api";
import { bytes, counted } from "../lib/format";
import { useAction, useLoad, type Load } from "../lib/load";
import type { Call, Network, NetworkStatus, Pause, Status } from "../lib/types";
import { ActionButton, Age, Badge, Dialog, Empty, Foreign, Loaded, Outcome, Panel, Table, Time } from "../ui";
import { useNetworks } from "./runs";

function PauseDialog({ network, close, again }: { network: Network; close: () => void; again: () => void }) {
  const [account, setAccount] = useState("");
  const [reason, setReason] = useState("");
  const action = useAction();
  const pause = async () => {
    const params = { path: { network: network.name } };
    await answer(client.POST("/v1/networks/{network}/pause", { params, body: { account: account || null, reason }, parseAs: "text" }));
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
    await answer(client.POST("/v1/networks/{network}/resume", { params, body: { account: pause.account }, parseAs: "text" }));
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

function One({ network, status, again }: { network: Network; status?: NetworkStatus; again: () => void }) {
  const [isPausing, setPausing] = useState(false);
  const isPaused = network.paused.some(({ account }) => account === null);
  return (
    <section class="setting">
      <header>
        <h3>
          <Foreign text={network.name} />
        </h3>
        <span class="dim">
          connector <Foreign text={network.connector} />, {counted(network.accounts.length, "account")}
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
      {status && (
        <dl class="facts">
          <div>
            <dt>Next runs</dt>
            <dd>
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
            </dd>
          </div>
          <div>
            <dt>Streams</dt>
            <dd>
              {status.fresh > 0 && <Badge text={`${status.fresh} fresh`} tone="good" />}{" "}
              {status.stale > 0 && <Badge text={`${status.stale} stale`} tone="warn" />}{" "}
              {status.never_read > 0 && <Badge text={`${status.never_read} never read`} tone="warn" />}{" "}
              {status.unscheduled > 0 && <Badge text={`${status.unscheduled} not scheduled`} />}{" "}
              {status.gaps > 0 && <Badge text={counted(status.gaps, "gap")} tone="bad" />}
            </dd>
          </div>
        </dl>
      )}
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

function Services({ load }: { load: Load<Status> }) {
  return (
    <Panel wide title="Services">
      <Loaded load={load}>
        {({ services }) =>
          services.length === 0 ? (
            <Empty>No service has noted itself.</Empty>
          ) : (
            <Table label="Services" head={["Host", ["Process", "number"], "Since", "Noted", ["Runs", "number"], ["Memory", "number"]]}>
              {services.map((service) => (
                <tr>
                  <td>{service.host}</td>
                  <td class="number">{service.process}</td>
                  <td>
                    <Time at={service.started_at} />
                  </td>
                  <td>
                    <Age at={service.noted_at} />
                  </td>
                  <td class="number">{service.runs}</td>
                  <td class="number">{service.resident_bytes === null ? "–" : bytes(service.resident_bytes)}</td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Audit() {
  const load = useLoad(
    (signal) => answer<Call[]>(client.GET("/v1/audit", { parseAs: "text", signal })),
    [],
    ["networks", "doubts", "connectors", "alarms"],
  );
  return (
    <Panel wide title="Calls that changed something">
      <Loaded load={load}>
        {(calls) =>
          calls.length === 0 ? (
            <Empty>None yet.</Empty>
          ) : (
            <Table label="Calls" head={["When", "Token", "Call", ["Status", "number"]]}>
              {calls.slice(0, 50).map((call) => (
                <tr>
                  <td>
                    <Time at={call.called_at} seconds />
                  </td>
                  <td>
                    <Foreign text={call.token} />
                  </td>
                  <td>
                    <code>
                      {call.method} <Foreign text={call.path} />
                    </code>
                  </td>
                  <td class="number">{call.status}</td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
    </Panel>
  );
}

export function Settings() {
  const networks = useNetworks();
  const status = useLoad((signal) => answer<Status>(client.GET("/v1/status", { parseAs: "text", signal })), [], ["networks"]);
  const again = () => [networks, status].forEach((load) => load.again());
  return (
    <div class="panels">
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
                  again={again}
                />
              ))
            )
          }
        </Loaded>
        {status.failure && <Outcome action={{ isBusy: false, failure: status.failure, run: () => {} }} />}
      </Panel>
      <Services load={status} />
      <Audit />
    </div>
  );
}
