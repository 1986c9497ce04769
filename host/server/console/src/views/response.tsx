import { sql } from "../lib/api";
import { bytes, literal } from "../lib/format";
import { useLoad } from "../lib/load";
import { parameters, path } from "../lib/route";
import type { SentRequest, TransactionRow } from "../lib/types";
import { Badge, Empty, Foreign, Loaded, Money, Panel, Table, Time, Window } from "../ui";
import { Body } from "./body";
import { useActivations, useNamesOf, versionsOf } from "./connectors";
import { Replay } from "./replay";

const MOST_ROWS = 500;

interface Made extends TransactionRow {
  record_index: number;
}

/** The versions that were made of a response. */
function Rows({ request, raw }: { request: string; raw: string }) {
  const query = `SELECT transaction_key, network, account, transaction_id, order_id, advertiser_name, kind, transacted_at, validation_status,
      payment_status, commission_amount, commission_currency, version, change, is_live(content_hash) AS live, record_index
    FROM unified.transaction_versions WHERE request_id = ${literal(request)} AND raw_object = ${literal(raw)}
    ORDER BY record_index LIMIT ${MOST_ROWS}`;
  const load = useLoad((signal) => sql<Made>(query, signal), [request, raw]);
  return (
    <Panel wide title="Versions made of it">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>It changed no transaction: what it holds was known, or is held back.</Empty>
          ) : (
            <>
              <Table label="Versions" head={[["Record", "number"], "Transaction", "Change", "Advertiser", "Status", ["Commission", "number"]]}>
                {rows.map((row) => (
                  <tr>
                    <td class="number">{row.record_index}</td>
                    <td>
                      <a href={path("transactions", row.transaction_key)}>
                        <Foreign text={row.transaction_id} />
                      </a>
                    </td>
                    <td>
                      <Badge text={row.change} /> <span class="dim">version {row.version}</span>
                    </td>
                    <td>
                      <Foreign text={row.advertiser_name} />
                    </td>
                    <td>
                      <Badge text={row.validation_status} /> <Badge text={row.payment_status} />
                    </td>
                    <td class="number">
                      <Money value={row.commission_amount} currency={row.commission_currency} />
                    </td>
                  </tr>
                ))}
              </Table>
              {rows.length === MOST_ROWS && <p class="dim">The first {MOST_ROWS}.</p>}
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

function Facts({ sent }: { sent: SentRequest }) {
  return (
    <dl class="facts">
      <div class="wide">
        <dt>{sent.method}</dt>
        <dd>
          <code class="url">
            <Foreign text={sent.url} />
          </code>
        </dd>
      </div>
      <div>
        <dt>Status</dt>
        <dd>
          {sent.status} <Badge text={sent.outcome} />
        </dd>
      </div>
      <div>
        <dt>Slice</dt>
        <dd>
          <Foreign text={sent.network} /> <Foreign text={sent.account} />, {sent.stream} by {sent.axis}
        </dd>
      </div>
      <div>
        <dt>Window</dt>
        <dd>
          <Window since={sent.window_since} until={sent.window_until} />
        </dd>
      </div>
      <div>
        <dt>Request</dt>
        <dd>
          <Foreign text={sent.request_key} />, attempt {sent.attempt}
        </dd>
      </div>
      <div>
        <dt>Sent</dt>
        <dd>
          <Time at={sent.sent_at} seconds />
        </dd>
      </div>
      <div>
        <dt>Received</dt>
        <dd>
          <Time at={sent.received_at} seconds />, {bytes(sent.body_bytes)}
        </dd>
      </div>
      <div>
        <dt>Mapped by</dt>
        <dd>
          version <Foreign text={sent.connector_version} />
        </dd>
      </div>
      <div class="wide">
        <dt>Raw object</dt>
        <dd>
          <code class="url">{sent.raw_object ?? "none"}</code> {sent.masked && <Badge text="secrets masked" />}
        </dd>
      </div>
    </dl>
  );
}

/** The slice's responses by another version, beside what is in the tables. */
function ByAnotherVersion({ sent }: { sent: SentRequest }) {
  const load = useActivations(sent.network);
  const [name] = useNamesOf(sent.network);
  if (!name) return null;
  const window = sent.window_since && sent.window_until ? { since: sent.window_since, until: sent.window_until } : {};
  return (
    <Panel wide title="By another version of the connector">
      <Replay part={{ network: name, account: sent.account, stream: sent.stream, ...window }} versions={versionsOf(load.value?.rows)} />
    </Panel>
  );
}

export function Response({ run, request }: { run: string; request: string }) {
  const attempt = parameters.value.get("attempt");
  const record = parameters.value.get("record");
  const query = `SELECT * FROM meta.requests WHERE run_id = ${literal(run)} AND request_id = ${literal(request)} ORDER BY attempt DESC`;
  const load = useLoad((signal) => sql<SentRequest>(query, signal), [run, request]);
  return (
    <div class="panels">
      <p class="crumbs">
        <a href="/runs">Runs</a> / <a href={path("runs", run)}>{run}</a> / <code>{request}</code>
      </p>
      <Loaded load={load} rows={6}>
        {({ rows }) => {
          const sent = rows.find((row) => String(row.attempt) === attempt) ?? rows[0];
          if (!sent) return <Empty>No response of this request is kept.</Empty>;
          return (
            <>
              <Panel wide title="Request, secrets masked">
                <Facts sent={sent} />
              </Panel>
              {sent.raw_object && (
                <>
                  <Panel wide title="Body">
                    <Body digest={sent.raw_object} record={record ? Number(record) : undefined} />
                  </Panel>
                  <Rows request={request} raw={sent.raw_object} />
                  <ByAnotherVersion sent={sent} />
                </>
              )}
            </>
          );
        }}
      </Loaded>
    </div>
  );
}
