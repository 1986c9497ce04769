import { get } from "../lib/api";
import { bytes, literal } from "../lib/format";
import { useLoad, useSql, type Load } from "../lib/load";
import { parameters, path } from "../lib/route";
import type { Envelope, SentRequest, TransactionRow } from "../lib/types";
import { Crumbs, Fact, Record, requestQuery, Rows, transactionLink, type Column } from "../parts";
import { Badge, Empty, Foreign, Loaded, Money, Panel, Time, Window } from "../ui";
import { Body } from "./body";
import { useVersions } from "./connectors";
import { networkOf } from "./coverage";
import { Mapped } from "./mapped";
import { Replay } from "./replay";
import { useNetworks } from "./runs";

const MOST_ROWS = 500;

interface Made extends TransactionRow {
  record_index: number;
}

const MADE: Column<Made>[] = [
  ["Record", (row) => row.record_index, "number"],
  ["Transaction", transactionLink],
  [
    "Change",
    (row) => (
      <>
        <Badge text={row.change} /> <span class="dim">version {row.version}</span>
      </>
    ),
  ],
  ["Advertiser", (row) => <Foreign text={row.advertiser_name} />],
  [
    "Status",
    (row) => (
      <>
        <Badge text={row.validation_status} /> <Badge text={row.payment_status} />
      </>
    ),
  ],
  ["Commission", (row) => <Money value={row.commission_amount} currency={row.commission_currency} />, "number"],
];

/** The versions of transactions that a response gave. */
function Versions({ request, raw }: { request: string; raw: string }) {
  const query = `SELECT transaction_key, transaction_id, advertiser_name, validation_status, payment_status, commission_amount,
      commission_currency, version, change, record_index
    FROM unified.transaction_versions WHERE request_id = ${literal(request)} AND raw_object = ${literal(raw)}
    ORDER BY record_index LIMIT ${MOST_ROWS}`;
  const load = useSql<Made>(query);
  return (
    <Panel wide title="Versions made of it">
      <Loaded load={load}>
        {({ rows }) =>
          rows.length === 0 ? (
            <Empty>It changed no transaction: what it holds was known, or is held back.</Empty>
          ) : (
            <Rows label="Versions" rows={rows} columns={MADE} most={MOST_ROWS} />
          )
        }
      </Loaded>
    </Panel>
  );
}

function Facts({ sent }: { sent: SentRequest }) {
  return (
    <dl class="facts">
      <Fact wide name={sent.method}>
        <code class="url">
          <Foreign text={sent.url} />
        </code>
      </Fact>
      <Fact name="Status">
        {sent.status} <Badge text={sent.outcome} />
      </Fact>
      <Fact name="Slice">
        <Foreign text={sent.network} /> <Foreign text={sent.account} />, {sent.stream} by {sent.axis}
      </Fact>
      <Fact name="Window">
        <Window since={sent.window_since} until={sent.window_until} />
      </Fact>
      <Fact name="Request">
        <Foreign text={sent.request_key} />, attempt {sent.attempt}
      </Fact>
      <Fact name="Sent">
        <Time at={sent.sent_at} seconds />
      </Fact>
      <Fact name="Received">
        <Time at={sent.received_at} seconds />, {bytes(sent.body_bytes)}
      </Fact>
      <Fact name="Mapped by">
        version <Foreign text={sent.connector_version} />
      </Fact>
      <Fact wide name="Raw object">
        <code class="url">{sent.raw_object ?? "none"}</code> {sent.masked && <Badge text="secrets masked" />}
      </Fact>
    </dl>
  );
}

const pairs = (headers: string[][]) => headers.map(([name = "", value]) => [name, value] as const);

/** Headers of the request and of the response, and the request's body. */
function Headers({ load }: { load: Load<Envelope> }) {
  return (
    <Panel wide title="Headers, secrets masked">
      <Loaded load={load}>
        {({ headers, request_headers, request_body }) => (
          <>
            <h3>Of the response</h3>
            {headers.length === 0 ? <Empty>It has none.</Empty> : <Record fields={pairs(headers)} />}
            <h3>Of the request</h3>
            {request_headers.length === 0 ? <Empty>It has none of its own.</Empty> : <Record fields={pairs(request_headers)} />}
            {request_body && (
              <>
                <h3>Body of the request</h3>
                <pre class="body" tabIndex={0} aria-label="The request’s body">
                  <Foreign text={request_body} />
                </pre>
              </>
            )}
          </>
        )}
      </Loaded>
    </Panel>
  );
}

/** The slice's responses by another version, beside what is in the tables. */
function SliceByAnotherVersion({ sent }: { sent: SentRequest }) {
  const versions = useVersions(sent.network);
  const networks = useNetworks().value;
  // Several files may name one connector: that with the account.
  const name = (networkOf(networks, sent) ?? networks?.find(({ connector }) => connector === sent.network))?.name;
  if (!name) return null;
  const window = sent.window_since && sent.window_until ? { since: sent.window_since, until: sent.window_until } : {};
  return (
    <Panel wide title="The slice by another version of the connector">
      <Replay part={{ network: name, account: sent.account, stream: sent.stream, ...window }} versions={versions} />
    </Panel>
  );
}

function Kept({ sent, digest, record }: { sent: SentRequest; digest: string; record?: number }) {
  const { request_id: request } = sent;
  const params = { path: { digest }, query: { request } };
  const envelope = useLoad((signal) => get("/v1/raw/{digest}/envelope", { params, signal }), [digest, request]);
  const type = envelope.value?.headers.find(([name]) => name?.toLowerCase() === "content-type")?.[1];
  return (
    <>
      <Headers load={envelope} />
      <Panel wide title="Body">
        <Body digest={digest} type={type} record={record} />
      </Panel>
      <Mapped digest={digest} sent={sent} record={record} />
      <Versions request={request} raw={digest} />
      <SliceByAnotherVersion sent={sent} />
    </>
  );
}

function Attempt({ sent, record }: { sent: SentRequest; record: string | null }) {
  const { raw_object: digest } = sent;
  return (
    <>
      <Panel wide title="Request, secrets masked">
        <Facts sent={sent} />
      </Panel>
      {digest && <Kept sent={sent} digest={digest} record={/^\d+$/.test(record ?? "") ? Number(record) : undefined} />}
    </>
  );
}

export function Response({ run, request }: { run: string; request: string }) {
  const attempt = parameters.value.get("attempt");
  const load = useSql<SentRequest>(requestQuery(run, [request]));
  return (
    <div class="panels">
      <Crumbs up={[["Runs", "/runs"], [run, path("runs", run)]]}>
        <code>{request}</code>
      </Crumbs>
      <Loaded load={load} rows={6}>
        {({ rows }) => {
          const sent = rows.find((row) => String(row.attempt) === attempt) ?? rows[0];
          if (!sent) return <Empty>No response of this request is kept.</Empty>;
          return <Attempt sent={sent} record={parameters.value.get("record")} />;
        }}
      </Loaded>
    </div>
  );
}
