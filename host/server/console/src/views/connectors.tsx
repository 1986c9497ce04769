import { useState } from "preact/hooks";
import { get, post } from "../lib/api";
import { literal, short } from "../lib/format";
import { useAction, useLoad, useSql } from "../lib/load";
import { path } from "../lib/route";
import type { ConnectorEntry } from "../lib/types";
import { Crumbs, Details, Fact, Rows, type Column } from "../parts";
import { ActionButton, Badge, Dialog, Empty, Foreign, Loaded, Outcome, Panel, Time } from "../ui";
import { Replay } from "./replay";
import { useNetworks } from "./runs";
import { Trial } from "./trial";

const DECISIONS = {
  approve: {
    name: "Approve",
    done: "Approved",
    meaning: "It gets the rights that it asks for, and what its trial found is accepted. A running service swaps it in within a second.",
  },
  promote: { name: "Promote", done: "Promoted", meaning: "It takes over from the version that serves." },
  rollback: {
    name: "Roll back",
    done: "Rolled back",
    meaning: "The version that served before serves again. The current one is held until it is approved.",
  },
};

type Decision = keyof typeof DECISIONS;

interface VersionName {
  version: string;
  digest: string;
}

interface Activation extends VersionName {
  activated_at: string;
  source: string | null;
}

const MOST_ACTIVATIONS = 50;

/** Versions of a network that were active, the latest first. */
function useActivations(network: string) {
  const query = `SELECT version, digest, activated_at, source FROM meta.connectors WHERE network = ${literal(network)}
    ORDER BY activated_at DESC LIMIT ${MOST_ACTIVATIONS}`;
  return useSql<Activation>(query, ["connectors"]);
}

const useConnectors = () => useLoad((signal) => get("/v1/connectors", { signal }), [], ["connectors"]);

/** Versions to compare with, each once: that which waits, and those that were active. */
export function useVersions(network: string): VersionName[] {
  const entries = useConnectors().value ?? [];
  const active = useActivations(network).value?.rows ?? [];
  const waiting = entries.filter((entry) => entry.network === network && entry.candidate_digest);
  const candidates = waiting.map((entry) => ({ version: entry.candidate_version ?? "", digest: entry.candidate_digest ?? "" }));
  return [...new Map([...candidates, ...active].map((row) => [row.digest, row])).values()];
}

export const versionOptions = (versions: VersionName[]) =>
  versions.map(({ version, digest }) => [digest, `${version} (${short(digest)})`] as const);

function Comparison({ network }: { network: string }) {
  const versions = useVersions(network);
  const name = useNetworks().value?.find(({ connector }) => connector === network)?.name;
  return name ? <Replay part={{ network: name }} versions={versions} /> : null;
}

const ACTIVATIONS: Column<Activation>[] = [
  ["Active since", (row) => <Time at={row.activated_at} seconds />],
  ["Version", (row) => <Foreign text={row.version} />],
  ["Digest", (row) => <code title={row.digest}>{short(row.digest)}</code>],
  ["From", (row) => <Foreign text={row.source} />],
];

function Activations({ network }: { network: string }) {
  const load = useActivations(network);
  return (
    <Loaded load={load}>
      {({ rows }) =>
        rows.length === 0 ? (
          <Empty>None has been used in a run.</Empty>
        ) : (
          <Rows label={`Activations of ${network}`} rows={rows} columns={ACTIVATIONS} most={MOST_ACTIVATIONS} />
        )
      }
    </Loaded>
  );
}

const version = (name: string | null, digest: string | null) => (
  <>
    <Foreign text={name} /> <code title={digest ?? ""}>{short(digest ?? "")}</code>
  </>
);

function Facts({ entry }: { entry: ConnectorEntry }) {
  return (
    <dl class="facts">
      <Fact name="Serves">
        {entry.version ? (
          <>
            {version(entry.version, entry.digest)}, contract {entry.contract}
          </>
        ) : (
          <span class="dim">nothing</span>
        )}
      </Fact>
      {entry.candidate_digest && (
        <Fact name="Waits">
          {version(entry.candidate_version, entry.candidate_digest)} <Badge text={entry.state} />
        </Fact>
      )}
      <Fact name="File">
        <Foreign text={entry.file} />
      </Fact>
    </dl>
  );
}

function Reason({ entry }: { entry: ConnectorEntry }) {
  if (!entry.reason) return null;
  return (
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
  );
}

interface DecisionProps {
  entry: ConnectorEntry;
  network: string;
  decision: Decision;
  decide: () => void;
  close: () => void;
}

function DecisionDialog({ entry, network, decision, decide, close }: DecisionProps) {
  const isBack = decision === "rollback";
  return (
    <Dialog title={`${DECISIONS[decision].name} ${network}?`} close={close}>
      <p>{DECISIONS[decision].meaning}</p>
      {!isBack && <Reason entry={entry} />}
      <div class="row">
        <button type="button" class={isBack ? "danger" : "primary"} onClick={decide}>
          Yes
        </button>
        <button type="button" onClick={close}>
          No
        </button>
      </div>
    </Dialog>
  );
}

const KINDS: [Decision, string][] = [
  ["approve", "primary"],
  ["promote", ""],
  ["rollback", "danger"],
];

function Decisions({ entry, network, again }: { entry: ConnectorEntry; network: string; again: () => void }) {
  const [asked, setAsked] = useState<Decision | null>(null);
  const action = useAction();
  const decide = async (decision: Decision) => {
    setAsked(null);
    await post("/v1/connectors/{network}/{decision}", { params: { path: { network, decision } } });
    again();
    return `${DECISIONS[decision].done}: ${network}`;
  };
  const possible = KINDS.filter(([decision]) => decision === "rollback" || entry.candidate_digest);
  return (
    <>
      <div class="row">
        {possible.map(([decision, kind]) => (
          <ActionButton role="admin" kind={kind} action={action} onClick={() => setAsked(decision)}>
            {DECISIONS[decision].name}
          </ActionButton>
        ))}
      </div>
      <Outcome action={action} />
      {asked && (
        <DecisionDialog entry={entry} network={network} decision={asked} decide={() => action.run(() => decide(asked))} close={() => setAsked(null)} />
      )}
    </>
  );
}

const nameOf = ({ network, file }: ConnectorEntry) => network ?? file;

function Entry({ entry, isOnly, again }: { entry: ConnectorEntry; isOnly: boolean; again: () => void }) {
  const { network, candidate_digest } = entry;
  const name = nameOf(entry);
  const link = !isOnly && (
    <a href={path("connectors", name)}>
      Only <Foreign text={name} />
    </a>
  );
  return (
    <Panel wide title={name} aside={link}>
      <Facts entry={entry} />
      <Reason entry={entry} />
      {network && (
        <>
          {candidate_digest && <Trial network={network} digest={candidate_digest} />}
          <Decisions entry={entry} network={network} again={again} />
          <Details summary="What another version would make of history">{() => <Comparison network={network} />}</Details>
          <Details summary="When each version became active">{() => <Activations network={network} />}</Details>
        </>
      )}
    </Panel>
  );
}

/** All connectors, or one. */
export function Connectors({ one }: { one?: string }) {
  const load = useConnectors();
  return (
    <div class="panels">
      {one && (
        <Crumbs up={[["All connectors", "/connectors"]]}>
          <Foreign text={one} />
        </Crumbs>
      )}
      <Loaded load={load} rows={6}>
        {(all) => {
          const entries = all.filter((entry) => !one || nameOf(entry) === one);
          if (entries.length === 0) return <Empty>{one ? `There is no connector ${one}.` : "The connectors folder is empty: copy a `.wasm` file into it."}</Empty>;
          return (
            entries
              // What waits for a decision comes first.
              .sort((a, b) => Number(b.reason !== null) - Number(a.reason !== null) || a.file.localeCompare(b.file))
              .map((entry) => <Entry key={entry.file} entry={entry} isOnly={!!one} again={load.again} />)
          );
        }}
      </Loaded>
    </div>
  );
}
