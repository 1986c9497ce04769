import { useState } from "preact/hooks";
import { get, post, sql } from "../lib/api";
import { count, currencyName } from "../lib/format";
import { useAction, useLoad } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { Doubt, SentRequest } from "../lib/types";
import { accountCell, Crumbs, requestQuery, Rows, StreamName, windowCell, type Column } from "../parts";
import { ActionButton, Age, Badge, Choice, Empty, Foreign, Loaded, Money, Outcome, Panel, Time, Window } from "../ui";
import { Alarms } from "./alarms";

/** Commission of the window in the tables beside that in the answer, by currency. */
function MoneyAtStake({ doubt: { money_in_tables, money_in_answer } }: { doubt: Doubt }) {
  const currencies = [...new Set([...Object.keys(money_in_tables), ...Object.keys(money_in_answer)])].sort();
  if (currencies.length === 0) return <p class="dim">No commission is at stake.</p>;
  const columns: Column<string>[] = [
    ["Currency", currencyName, "head"],
    ["In the tables", (currency) => <Money value={money_in_tables[currency] ?? "0"} currency={currency} />, "number"],
    ["In the answer", (currency) => <Money value={money_in_answer[currency] ?? "0"} currency={currency} />, "number"],
  ];
  return <Rows label="Commission in the tables and in the answer" rows={currencies} columns={columns} />;
}

function Responses({ doubt }: { doubt: Doubt }) {
  const { request_ids: ids, run_id, doubt_id } = doubt;
  const none = Promise.resolve({ rows: [] as SentRequest[], warnings: [] });
  const load = useLoad((signal) => (ids.length > 0 ? sql<SentRequest>(requestQuery(run_id, ids), signal) : none), [doubt_id]);
  return (
    <Loaded load={load}>
      {({ rows }) => (
        <ul class="list">
          {rows.map((request) => (
            <li>
              <a href={path("runs", request.run_id, "requests", request.request_id)}>
                Response <Foreign text={request.request_key} />
              </a>{" "}
              <span class="dim">
                status {request.status}, received <Age at={request.received_at} />
              </span>
            </li>
          ))}
          {rows.length < ids.length && <li class="dim">These are {rows.length} of {ids.length}.</li>}
        </ul>
      )}
    </Loaded>
  );
}

function Decide({ doubt, again }: { doubt: Doubt; again: () => void }) {
  const [reason, setReason] = useState("");
  const action = useAction();
  const decide = (decision: "accept" | "reject") => async () => {
    await post(`/v1/doubts/{id}/${decision}`, { params: { path: { id: doubt.doubt_id } }, body: { reason: reason.trim() || null } });
    again();
    return decision === "accept" ? "Accepted: what was held back is in the tables." : "Rejected: nothing of it is in the tables.";
  };
  return (
    <>
      <label for="reason">Reason, kept with the decision</label>
      <input id="reason" type="text" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      <div class="row">
        <ActionButton role="operate" kind="primary" action={action} onClick={() => action.run(decide("accept"))}>
          Accept: it is right
        </ActionButton>
        <ActionButton role="operate" kind="danger" action={action} onClick={() => action.run(decide("reject"))}>
          Reject: it is wrong
        </ActionButton>
      </div>
      <Outcome action={action} />
    </>
  );
}

function Evidence({ doubt, again }: { doubt: Doubt; again: () => void }) {
  return (
    <>
      <p class="lead">
        <Badge text={doubt.state} /> <StreamName of={doubt} />, <Window since={doubt.since} until={doubt.until} />
      </p>
      <ul class="reasons">
        {doubt.reason.split("; ").map((reason) => (
          <li>
            <Foreign text={reason} />
          </li>
        ))}
      </ul>
      <p class="dim">
        {count(doubt.records)} records, found <Time at={doubt.found_at} /> by <a href={path("runs", doubt.run_id)}>its run</a>
      </p>
      <MoneyAtStake doubt={doubt} />
      <h3>What is held back</h3>
      <Responses doubt={doubt} />
      {doubt.state === "open" ? (
        <Decide doubt={doubt} again={again} />
      ) : (
        <p class="note good">
          {doubt.state} <Time at={doubt.decided_at} /> by <Foreign text={doubt.decided_by} />: <Foreign text={doubt.decision} />
        </p>
      )}
    </>
  );
}

function Detail({ id }: { id: string }) {
  const load = useLoad((signal) => get("/v1/doubts/{id}", { params: { path: { id } }, signal }), [id], ["doubts"]);
  return (
    <div class="panels">
      <Crumbs up={[["Doubts", "/doubts"]]}>
        <code>{id}</code>
      </Crumbs>
      <Panel wide title="Doubt">
        <Loaded load={load} rows={6}>
          {(doubt) => <Evidence doubt={doubt} again={load.again} />}
        </Loaded>
      </Panel>
    </div>
  );
}

const SHOWN = [
  ["open", "Open"],
  ["all", "All"],
] as const;

const DOUBTS: Column<Doubt>[] = [
  [
    "Doubt",
    ({ doubt_id }) => (
      <a href={path("doubts", doubt_id)}>
        <code>{doubt_id}</code>
      </a>
    ),
  ],
  ["Network", accountCell],
  ["Window", windowCell],
  [
    "Why",
    (doubt) => (
      <>
        <Badge text={doubt.kind} /> <Foreign text={doubt.reason} />
      </>
    ),
    "long",
  ],
  ["State", (doubt) => <Badge text={doubt.state} />],
  ["Found", (doubt) => <Age at={doubt.found_at} />],
];

function List() {
  const shown = parameters.value.get("show") === "all" ? "all" : "open";
  const load = useLoad((signal) => get("/v1/doubts", { params: { query: { all: shown === "all" } }, signal }), [shown], ["doubts"]);
  const choose = (show: string) => setParameters({ show: show === "open" ? "" : show });
  return (
    <Panel wide title="Doubts" aside={<Choice label="Doubts that are shown" options={SHOWN} value={shown} choose={choose} />}>
      <Loaded load={load}>
        {(doubts) => (doubts.length === 0 ? <Empty>No answer is held back.</Empty> : <Rows label="Doubts" rows={doubts} columns={DOUBTS} />)}
      </Loaded>
    </Panel>
  );
}

export function Doubts({ id, alarm }: { id?: string; alarm?: string }) {
  if (id && !alarm) return <Detail id={id} />;
  return (
    <div class="panels">
      {alarm && (
        <Crumbs up={[["Doubts and alarms", "/doubts"]]}>
          <code>{alarm}</code>
        </Crumbs>
      )}
      <Alarms id={alarm} />
      {!alarm && <List />}
    </div>
  );
}
