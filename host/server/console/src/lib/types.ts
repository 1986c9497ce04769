import type { Numeric } from "./exact";

// What `/openapi.json` describes as an object only: what commands print.

export interface Gap {
  network: string;
  account: string;
  stream: string;
  axis: string;
  since: string;
  until: string;
  kind: "never-read" | "failed";
  failed_at: string | null;
  error: string | null;
}

export interface Doubt {
  doubt_id: string;
  network: string;
  account: string;
  stream: string;
  axis: string;
  since: string;
  until: string;
  run_id: string;
  kind: string;
  field: string | null;
  reason: string;
  request_ids: string[];
  records: number;
  money_in_tables: Record<string, string>;
  money_in_answer: Record<string, string>;
  connector_version: string;
  found_at: string;
  state: "open" | "accepted" | "rejected" | "superseded";
  decided_at: string | null;
  decided_by: string | null;
  decision: string | null;
}

export interface Run {
  run_id: string;
  network: string;
  command: string;
  outcome: string;
  started_at: string;
  finished_at: string;
  connector_version: string | null;
  connector_digest: string | null;
  slices: Numeric;
  slices_failed: Numeric;
  requests: Numeric;
  bytes: Numeric;
  native_rows: Numeric;
  new_versions: Numeric;
  rejects: Numeric;
  error: string | null;
  error_kind: string | null;
}

export interface Slice {
  account: string;
  stream: string;
  axis: string;
  since: string;
  until: string;
  read_at: string;
  requests: Numeric;
  records: Numeric;
  complete: boolean;
  error: string | null;
  error_kind: string | null;
}

export interface SentRequest {
  run_id: string;
  request_id: string;
  attempt: number;
  network: string;
  account: string;
  stream: string;
  axis: string;
  window_since: string | null;
  window_until: string | null;
  request_key: string;
  method: string;
  url: string;
  sent_at: string;
  received_at: string;
  status: number;
  raw_object: string | null;
  body_bytes: Numeric;
  masked: boolean;
  outcome: string;
  connector_version: string;
}

export interface TransactionRow {
  transaction_key: string;
  network: string;
  account: string;
  transaction_id: string;
  order_id: string | null;
  advertiser_name: string | null;
  kind: string;
  transacted_at: string;
  validation_status: string;
  payment_status: string;
  commission_amount: Numeric;
  commission_currency: string | null;
  version: number;
  change: string;
  live: boolean;
}

export interface Changed {
  field: string;
  before: string | null;
  after: string | null;
}

export interface Version {
  version: number;
  change: string;
  live: boolean;
  observed_at: string;
  changed: Changed[];
  connector: { name: string; version: string; digest: string };
  run_id: string;
  request_id: string;
  request: { method: string; url: string; body: string | null; status: number; sent_at: string; received_at: string } | null;
  raw_object: string;
  record_index: number | null;
  record: Record<string, string | null> | null;
  problem: string | null;
}

export interface History {
  transaction_key: string;
  network: string;
  account: string;
  stream: string;
  transaction_id: string;
  versions: Version[];
  absent: { first_absent_at: string; run_id: string } | null;
}

export interface ConnectorEntry {
  file: string;
  network: string | null;
  version: string | null;
  contract: string | null;
  digest: string | null;
  state: string;
  reason: string | null;
  hint: string | null;
  candidate_version: string | null;
  candidate_digest: string | null;
}

export interface Pause {
  account: string | null;
  paused_at: string;
  reason: string;
}

export interface NetworkStatus {
  network: string;
  accounts: number;
  streams: number;
  fresh: number;
  stale: number;
  never_read: number;
  unscheduled: number;
  gaps: number;
  next: string[];
  paused: Pause[];
}

export interface ServiceStatus {
  host: string;
  process: number;
  started_at: string;
  noted_at: string;
  runs: number;
  resident_bytes: number | null;
}

export interface Status {
  networks: NetworkStatus[];
  services: ServiceStatus[];
}

export interface Network {
  name: string;
  connector: string;
  accounts: { name: string; id: string }[];
  paused: Pause[];
}

export interface Call {
  called_at: string;
  token: string;
  method: string;
  path: string;
  status: number;
}
