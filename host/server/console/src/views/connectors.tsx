import { useState } from "preact/hooks";
import { answer, client, sql } from "../lib/api";
import { literal, short } from "../lib/format";
import { useAction, useLoad } from "../lib/load";
import type { ConnectorEntry } from "../lib/types";
import { Replay } from "./replay";
import { useNetworks } from "./runs";
import { ActionButton, Badge, Dialog, Empty, Foreign, Loaded, Outcome, Panel, Table, Time } from "../ui";

type Decision = "approve" | "promote" | "rollback";

const MEANING: Record<Decision, string> = {
  approve: "It gets the rights that it asks for, and what its trial found is accepted. A running service swaps it in within a second.",
  promote: "It takes over from the version that serves.",
  rollback: "The version that served before serves again. The current one is held until it is approved.",
};

interface Activation {
  version: string;
  digest: string;
  activated_at: string;
  source: string | null;
}

/** Versions of a network that were active, the latest first. */
export function useActivations(network: string) {
  const query = `SELECT version, digest, activated_at, source FROM meta.connectors WHERE network = ${literal(network)}
    ORDER BY activated_at DESC LIMIT 20`;
  return useLoad((signal) => sql<Activation>(query, signal), [network], ["connectors"]);
}

/** Versions to compare with, each once. */
export function versionsOf(rows: Activation[] | undefined): { version: string; digest: string }[] {
  return [...new Map((rows ?? []).map((row) => [row.digest, row])).values()];
}

/** What the settings call the networks of a connector. */
export function useNamesOf(connector: string): string[] {
  const networks = useNetworks();
  return (networks.value ?? []).filter((network) => network.connector === connector).map(({ name }) => name);
}

function Comparison({ entry, network }: { entry: ConnectorEntry; network: string }) {
  const load = useActivations(network);
  const [name] = useNamesOf(network);
  const waiting = entry.candidate_digest ? [{ version: entry.candidate_version ?? "", digest: entry.candidate_digest }] : [];
  if (!name) return null;
  return (
    <details>
      <summary>What another version would make of history</summary>
      <Replay part={{ network: name }} versions={[...waiting, ...versionsOf(load.value?.rows)]} />
    </details>
  );
}

function Activations({ network }: { network: string }) {
  const load = useActivations(network);
  return (
    <details>
      <summary>When each version became active</summary>
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>None has been used in a run.</Empty>
          ) : (
            <Table label={`Activations of ${network}`} head={["Active since", "Version", "Digest", "From"]}>
              {rows.map((row) => (
                <tr>
                  <td>
                    <Time at={row.activated_at} seconds />
                  </td>
                  <td>
                    <Foreign text={row.version} />
                  </td>
                  <td>
                    <code title={row.digest}>{short(row.digest)}</code>
                  </td>
                  <td>
                    <Foreign text={row.source} />
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
    </details>
  );
}

function Entry({ entry, again }: { entry: ConnectorEntry; again: () => void }) {
  const [decision, setDecision] = useState<Decision | null>(null);
  const action = useAction();
  const { network } = entry;
  const decide = async (decision: Decision) => {
    setDecision(null);
    const params = { path: { network: network ?? "", decision } };
    await answer(client.POST("/v1/connectors/{network}/{decision}", { params, parseAs: "text" }));
    again();
    return `${decision === "rollback" ? "Rolled back" : decision === "approve" ? "Approved" : "Promoted"}: ${network}`;
  };
  const waits = entry.candidate_digest !== null;
  return (
    <Panel wide title={visibleName(entry)}>
      <dl class="facts">
        <div>
          <dt>Serves</dt>
          <dd>
            {entry.version ? (
              <>
                <Foreign text={entry.version} /> <code title={entry.digest ?? ""}>{short(entry.digest ?? "")}</code>, contract{" "}
                {entry.contract}
              </>
            ) : (
              <span class="dim">nothing</span>
            )}
          </dd>
        </div>
        {waits && (
          <div>
            <dt>Waits</dt>
            <dd>
              <Foreign text={entry.candidate_version} /> <code title={entry.candidate_digest ?? ""}>{short(entry.candidate_digest ?? "")}</code>{" "}
              <Badge text={entry.state} />
            </dd>
          </div>
        )}
        <div>
          <dt>File</dt>
          <dd>
            <Foreign text={entry.file} />
          </dd>
        </div>
      </dl>
      {entry.reason && (
        <div class="note warn">
          <p>
            <Foreign text={entry.reason} />
          </p>
          {entry.hint && (
            <p class="dim">
              <Foreign text={entry.hint} />
            </p>
          )}
        </div>
      )}
      {network && (
        <>
          <div class="row">
            {waits && (
              <>
                <ActionButton role="admin" kind="primary" action={action} onClick={() => setDecision("approve")}>
                  Approve
                </ActionButton>
                <ActionButton role="admin" action={action} onClick={() => setDecision("promote")}>
                  Promote
                </ActionButton>
              </>
            )}
            <ActionButton role="admin" kind="danger" action={action} onClick={() => setDecision("rollback")}>
              Roll back
            </ActionButton>
          </div>
          <Outcome action={action} />
          <Comparison entry={entry} network={network} />
          <Activations network={network} />
        </>
      )}
      {decision && (
        <Dialog title={`${decision === "rollback" ? "Roll back" : decision === "approve" ? "Approve" : "Promote"} ${network}?`} close={() => setDecision(null)}>
          <p>{MEANING[decision]}</p>
          {decision !== "rollback" && entry.reason && (
            <p class="note warn">
              <Foreign text={entry.reason} />
            </p>
          )}
          <div class="row">
            <button type="button" class={decision === "rollback" ? "danger" : "primary"} onClick={() => action.run(() => decide(decision))}>
              Yes
            </button>
            <button type="button" onClick={() => setDecision(null)}>
              No
            </button>
          </div>
        </Dialog>
      )}
    </Panel>
  );
}

const visibleName = (entry: ConnectorEntry) => entry.network ?? entry.file;

export function Connectors() {
  const load = useLoad((signal) => answer<ConnectorEntry[]>(client.GET("/v1/connectors", { parseAs: "text", signal })), [], ["connectors"]);
  return (
    <div class="panels">
      <Loaded load={load} rows={6}>
        {(entries) =>
          entries.length === 0 ? (
            <Empty>The connectors folder is empty: copy a `.wasm` file into it.</Empty>
          ) : (
            [...entries]
              // What waits for a decision comes first.
              .sort((a, b) => Number(b.reason !== null) - Number(a.reason !== null) || a.file.localeCompare(b.file))
              .map((entry) => <Entry key={entry.file} entry={entry} again={load.again} />)
          )
        }
      </Loaded>
    </div>
  );
}
