import { useState } from "preact/hooks";
import { answer, client, sql } from "../lib/api";
import { literal, short } from "../lib/format";
import { useLoad } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { History as Known, TransactionRow, Version } from "../lib/types";
import { Badge, Empty, Foreign, Loaded, Money, Panel, Table, Time, Warnings } from "../ui";

const SHOWN = 100;

/** Those with this text as an id of theirs, or in the advertiser's name; the newest ones without a text. */
function search(text: string): string {
  const is = literal(text);
  const within = literal(`%${text.toLowerCase().replace(/[\\%_]/g, "\\$&")}%`);
  const where = text
    ? `WHERE transaction_id = ${is} OR order_id = ${is} OR click_id = ${is} OR transaction_key = ${is} OR group_key = ${is}
      OR advertiser_id = ${is} OR voucher_code = ${is} OR lower(advertiser_name) LIKE ${within}
      OR (sub_ids IS NOT NULL AND array_has(map_values(sub_ids), ${is}))`
    : "";
  return `SELECT transaction_key, network, account, transaction_id, order_id, advertiser_name, kind, transacted_at, validation_status,
      payment_status, commission_amount, commission_currency, version, change, is_live(content_hash) AS live
    FROM unified.transactions ${where} ORDER BY transacted_at DESC LIMIT ${SHOWN}`;
}

export function Transactions() {
  const text = parameters.value.get("q") ?? "";
  const [typed, setTyped] = useState(text);
  const load = useLoad((signal) => sql<TransactionRow>(search(text), signal), [text], ["runs", "doubts"]);
  return (
    <Panel wide title={text ? "Found" : "Newest transactions"}>
      <form
        class="search"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          setParameters({ q: typed.trim() }, false);
        }}
      >
        <label for="search">Transaction id, order, click id, sub-id, voucher, or a part of the advertiser’s name</label>
        <div class="row">
          <input id="search" type="search" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
          <button type="submit" class="primary">
            Search
          </button>
        </div>
      </form>
      <Loaded load={load} rows={8}>
        {({ rows, warnings }) => (
          <>
            {rows.length === 0 ? (
              <Empty>No transaction has this. Ids are compared exactly, names by what they hold.</Empty>
            ) : (
              <Table label="Transactions" head={["When", "Network", "Transaction", "Advertiser", "Status", ["Commission", "number"], "Last change"]}>
                {rows.map((row) => (
                  <tr>
                    <td>
                      <Time at={row.transacted_at} />
                    </td>
                    <td>
                      <Foreign text={row.network} /> <Foreign class="dim" text={row.account} />
                    </td>
                    <td>
                      <a href={path("transactions", row.transaction_key)}>
                        <Foreign text={row.transaction_id} />
                      </a>
                      {row.order_id && (
                        <>
                          <br />
                          <Foreign class="dim" text={row.order_id} />
                        </>
                      )}
                    </td>
                    <td>
                      <Foreign text={row.advertiser_name} />
                    </td>
                    <td>
                      {row.live ? <Badge text={row.validation_status} /> : <Badge text="gone" tone="bad" />} <Badge text={row.payment_status} />
                    </td>
                    <td class="number">
                      <Money value={row.commission_amount} currency={row.commission_currency} />
                    </td>
                    <td>
                      <Badge text={row.change} /> <span class="dim">version {row.version}</span>
                    </td>
                  </tr>
                ))}
              </Table>
            )}
            {rows.length === SHOWN && <p class="dim">The newest {SHOWN}.</p>}
            <Warnings warnings={warnings} />
          </>
        )}
      </Loaded>
    </Panel>
  );
}

function Fields({ version }: { version: Version }) {
  if (version.changed.length === 0) return null;
  return (
    <Table label={`Fields of version ${version.version}`} head={version.version === 1 ? ["Field", "Value"] : ["Field", "Before", "After"]}>
      {version.changed.map(({ field, before, after }) => (
        <tr>
          <th scope="row">{field}</th>
          {version.version > 1 && (
            <td>
              <Foreign class="before" text={before ?? "nothing"} />
            </td>
          )}
          <td>
            <Foreign text={after ?? "nothing"} />
          </td>
        </tr>
      ))}
    </Table>
  );
}

function Evidence({ version }: { version: Version }) {
  const { request, record, record_index, run_id, request_id } = version;
  const record_of = record_index == null ? "" : `?record=${record_index}`;
  return (
    <>
      {request && (
        <p class="evidence">
          <a href={path("runs", run_id, "requests", request_id) + record_of}>The response it came from</a>{" "}
          <span class="dim">
            status {request.status}, mapped by <Foreign text={version.connector.name} /> <Foreign text={version.connector.version} />{" "}
            <code>{short(version.connector.digest)}</code>
          </span>
        </p>
      )}
      {record && (
        <details>
          <summary>Record {record_index}, all fields that the network gave</summary>
          <dl class="record">
            {Object.entries(record).map(([field, value]) => (
              <div>
                <dt>
                  <Foreign text={field} />
                </dt>
                <dd>{value === null ? <span class="dim">null</span> : <Foreign text={value} />}</dd>
              </div>
            ))}
          </dl>
        </details>
      )}
      {version.problem && <p class="note warn">{version.problem}</p>}
    </>
  );
}

function Timeline({ of }: { of: Known }) {
  // The newest first: that is what is asked about.
  const versions = [...of.versions].reverse();
  return (
    <ol class="timeline">
      {of.absent && (
        <li class="warn">
          <header>
            <Badge text="absent" tone="warn" /> since <Time at={of.absent.first_absent_at} />
          </header>
          <p>
            A <a href={path("runs", of.absent.run_id)}>run</a> read its window without it; another read decides whether it has vanished.
          </p>
        </li>
      )}
      {versions.map((version) => (
        <li class={version.live ? "" : "bad"}>
          <header>
            <b>Version {version.version}</b> <Badge text={version.change} /> <Time at={version.observed_at} seconds />
          </header>
          {!version.live && version.change !== "vanished" && <p>Removed: this version of the connector makes no such transaction.</p>}
          {version.version === 1 ? (
            <details open={versions.length === 1}>
              <summary>{version.changed.length} fields</summary>
              <Fields version={version} />
            </details>
          ) : (
            <Fields version={version} />
          )}
          <Evidence version={version} />
        </li>
      ))}
    </ol>
  );
}

export function History({ id }: { id: string }) {
  const load = useLoad(
    (signal) => answer<Known>(client.GET("/v1/transactions/{key}", { params: { path: { key: id } }, parseAs: "text", signal })),
    [id],
    ["runs", "doubts"],
  );
  return (
    <div class="panels">
      <p class="crumbs">
        <a href="/transactions">Transactions</a> / <code>{id}</code>
      </p>
      <Panel wide title="History">
        <Loaded load={load} rows={8}>
          {(history) => (
            <>
              <p class="lead">
                <Foreign text={history.network} /> / <Foreign text={history.account} /> / <b>{<Foreign text={history.transaction_id} />}</b>{" "}
                <span class="dim">{history.stream}</span>
              </p>
              <Timeline of={history} />
            </>
          )}
        </Loaded>
      </Panel>
    </div>
  );
}
