import { useState } from "preact/hooks";
import { answer, call, client, sql } from "../lib/api";
import { count, literal } from "../lib/format";
import { useAction, useLoad } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { Doubt, SentRequest } from "../lib/types";
import { ActionButton, Age, Badge, Choice, Empty, Foreign, Loaded, Money, Outcome, Panel, Table, Time, Window } from "../ui";
import { Alarms } from "./alarms";

/** Commission of the window in the tables beside that in the answer, by currency. */
function MoneyAtStake({ doubt }: { doubt: Doubt }) {
  const currencies = [...new Set([...Object.keys(doubt.money_in_tables), ...Object.keys(doubt.money_in_answer)])].sort();
  if (currencies.length === 0) return <p class="dim">No commission is at stake.</p>;
  return (
    <Table label="Commission in the tables and in the answer" head={["Currency", ["In the tables", "number"], ["In the answer", "number"]]}>
      {currencies.map((currency) => (
        <tr>
          <th scope="row">{currency || "no currency"}</th>
          <td class="number">
            <Money value={doubt.money_in_tables[currency] ?? "0"} currency={currency} />
          </td>
          <td class="number">
            <Money value={doubt.money_in_answer[currency] ?? "0"} currency={currency} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Responses({ doubt }: { doubt: Doubt }) {
  const ids = doubt.request_ids.map(literal).join(", ");
  const query = `SELECT * FROM meta.requests WHERE run_id = ${literal(doubt.run_id)} AND request_id IN (${ids}) ORDER BY sent_at LIMIT 50`;
  const load = useLoad((signal) => (ids ? sql<SentRequest>(query, signal) : Promise.resolve({ rows: [], warnings: [] })), [doubt.doubt_id]);
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
        </ul>
      )}
    </Loaded>
  );
}

function Decide({ doubt, again }: { doubt: Doubt; again: () => void }) {
  const [reason, setReason] = useState("");
  const action = useAction();
  const decide = async (decision: "accept" | "reject") => {
    const body = { reason: reason.trim() || null };
    const params = { path: { id: doubt.doubt_id } };
    const sent =
      decision === "accept"
        ? client.POST("/v1/doubts/{id}/accept", { params, body, parseAs: "text" })
        : client.POST("/v1/doubts/{id}/reject", { params, body, parseAs: "text" });
    await answer(sent);
    again();
    return decision === "accept" ? "Accepted: what was held back is in the tables." : "Rejected: nothing of it is in the tables.";
  };
  return (
    <>
      <label for="reason">Reason, kept with the decision</label>
      <input id="reason" type="text" value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      <div class="row">
        <ActionButton role="operate" kind="primary" action={action} onClick={() => action.run(() => decide("accept"))}>
          Accept: it is right
        </ActionButton>
        <ActionButton role="operate" kind="danger" action={action} onClick={() => action.run(() => decide("reject"))}>
          Reject: it is wrong
        </ActionButton>
      </div>
      <Outcome action={action} />
    </>
  );
}

function Detail({ id }: { id: string }) {
  const load = useLoad(
    (signal) => answer<Doubt>(client.GET("/v1/doubts/{id}", { params: { path: { id } }, parseAs: "text", signal })),
    [id],
    ["doubts"],
  );
  return (
    <div class="panels">
      <p class="crumbs">
        <a href="/doubts">Doubts</a> / <code>{id}</code>
      </p>
      <Panel wide title="Doubt">
        <Loaded load={load} rows={6}>
          {(doubt) => (
            <>
              <p class="lead">
                <Badge text={doubt.state} /> <Foreign text={doubt.network} /> / <Foreign text={doubt.account} />, {doubt.stream} by {doubt.axis},{" "}
                <Window since={doubt.since} until={doubt.until} />
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
                <Decide doubt={doubt} again={load.again} />
              ) : (
                <p class="note good">
                  {doubt.state} <Time at={doubt.decided_at} /> by <Foreign text={doubt.decided_by} />: <Foreign text={doubt.decision} />
                </p>
              )}
            </>
          )}
        </Loaded>
      </Panel>
    </div>
  );
}

const SHOWN = [
  ["open", "Open"],
  ["all", "All"],
] as const;

function List() {
  const shown = parameters.value.get("show") === "all" ? "all" : "open";
  const load = useLoad(
    (signal) => call<Doubt[]>("GET", `/v1/doubts?all=${shown === "all"}`, undefined, signal),
    [shown],
    ["doubts"],
  );
  return (
    <Panel
      wide
      title="Doubts"
      aside={<Choice label="Doubts that are shown" options={SHOWN} value={shown} choose={(show) => setParameters({ show: show === "open" ? "" : show })} />}
    >
      <Loaded load={load}>
        {(doubts) =>
          doubts.length === 0 ? (
            <Empty>No answer is held back.</Empty>
          ) : (
            <Table label="Doubts" head={["Doubt", "Network", "Window", "Why", "State", "Found"]}>
              {doubts.map((doubt) => (
                <tr>
                  <td>
                    <a href={path("doubts", doubt.doubt_id)}>
                      <code>{doubt.doubt_id}</code>
                    </a>
                  </td>
                  <td>
                    <Foreign text={doubt.network} /> <Foreign class="dim" text={doubt.account} />
                  </td>
                  <td>
                    <Window since={doubt.since} until={doubt.until} />
                  </td>
                  <td class="long">
                    <Badge text={doubt.kind} /> <Foreign text={doubt.reason} />
                  </td>
                  <td>
                    <Badge text={doubt.state} />
                  </td>
                  <td>
                    <Age at={doubt.found_at} />
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

export function Doubts({ id }: { id?: string }) {
  if (id) return <Detail id={id} />;
  return (
    <div class="panels">
      <Alarms />
      <List />
    </div>
  );
}
