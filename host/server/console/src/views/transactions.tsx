import { useState } from "preact/hooks";
import { get } from "../lib/api";
import { literal, short } from "../lib/format";
import { useLoad, useSql } from "../lib/load";
import { parameters, path, setParameters } from "../lib/route";
import type { History as Known, TransactionRow, Version } from "../lib/types";
import { accountCell, Crumbs, Record, Rows, transactionLink, type Column } from "../parts";
import { Badge, Empty, Foreign, Loaded, Money, Panel, Time, Warnings } from "../ui";

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

const FOUND: Column<TransactionRow>[] = [
  ["When", (row) => <Time at={row.transacted_at} />],
  ["Network", accountCell],
  [
    "Transaction",
    (row) => (
      <>
        {transactionLink(row)}
        {row.order_id && (
          <>
            <br />
            <Foreign class="dim" text={row.order_id} />
          </>
        )}
      </>
    ),
  ],
  ["Advertiser", (row) => <Foreign text={row.advertiser_name} />],
  [
    "Status",
    (row) => (
      <>
        {row.live ? <Badge text={row.validation_status} /> : <Badge text="gone" tone="bad" />} <Badge text={row.payment_status} />
      </>
    ),
  ],
  ["Commission", (row) => <Money value={row.commission_amount} currency={row.commission_currency} />, "number"],
  [
    "Last change",
    (row) => (
      <>
        <Badge text={row.change} /> <span class="dim">version {row.version}</span>
      </>
    ),
  ],
];

function Search({ text }: { text: string }) {
  const [typed, setTyped] = useState(text);
  const search = (event: Event) => {
    event.preventDefault();
    setParameters({ q: typed.trim() }, false);
  };
  return (
    <form class="search" role="search" onSubmit={search}>
      <label for="search">Transaction id, order, click id, sub-id, voucher, or a part of the advertiser’s name</label>
      <div class="row">
        <input id="search" type="search" value={typed} onInput={(event) => setTyped(event.currentTarget.value)} />
        <button type="submit" class="primary">
          Search
        </button>
      </div>
    </form>
  );
}

export function Transactions() {
  const text = parameters.value.get("q") ?? "";
  const load = useSql<TransactionRow>(search(text), ["runs", "doubts"]);
  return (
    <Panel wide title={text ? "Found" : "Newest transactions"}>
      <Search text={text} />
      <Loaded load={load} rows={8}>
        {({ rows, warnings }) => (
          <>
            {rows.length === 0 ? (
              <Empty>{text ? "No transaction has this. Ids are compared exactly, names by what they hold." : "No transaction was read yet."}</Empty>
            ) : (
              <Rows label="Transactions" rows={rows} columns={FOUND} most={SHOWN} />
            )}
            <Warnings warnings={warnings} />
          </>
        )}
      </Loaded>
    </Panel>
  );
}

type Field = Version["changed"][number];

/** A value as a version has it, an amount with its currency, which may have come with an earlier version. */
function valueOf(all: Version[], { field }: Field, value: string | null | undefined, version: number): string {
  const [, of] = /^(sale|commission)_(?:amount|effective)$/.exec(field) ?? [];
  const changes = all.filter((one) => one.version <= version).flatMap(({ changed }) => changed);
  return value == null ? "nothing" : `${value} ${changes.findLast(({ field }) => field === `${of}_currency`)?.after ?? ""}`;
}

function Fields({ version, all }: { version: Version; all: Version[] }) {
  const { version: number, changed } = version;
  if (changed.length === 0) return null;
  const columns: Column<Field>[] = [
    ["Field", ({ field }) => field, "head"],
    ["Before", (field) => <Foreign class="before" text={valueOf(all, field, field.before, number - 1)} />],
    ["After", (field) => <Foreign text={valueOf(all, field, field.after, number)} />],
  ];
  // Before the first one there was nothing.
  return <Rows label={`Fields of version ${number}`} rows={changed} columns={number === 1 ? columns.filter((_, at) => at !== 1) : columns} />;
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
          <Record fields={Object.entries(record)} />
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
              <Fields version={version} all={of.versions} />
            </details>
          ) : (
            <Fields version={version} all={of.versions} />
          )}
          <Evidence version={version} />
        </li>
      ))}
    </ol>
  );
}

export function History({ id }: { id: string }) {
  const load = useLoad(
    (signal) => get("/v1/transactions/{key}", { params: { path: { key: id } }, signal }),
    [id],
    ["runs", "doubts"],
  );
  return (
    <div class="panels">
      <Crumbs up={[["Transactions", "/transactions"]]}>
        <code>{id}</code>
      </Crumbs>
      <Panel wide title="History">
        <Loaded load={load} rows={8}>
          {(history) => (
            <>
              <p class="lead">
                <Foreign text={history.network} /> / <Foreign text={history.account} /> / <b><Foreign text={history.transaction_id} /></b>{" "}
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
