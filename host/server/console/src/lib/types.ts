import type { components } from "../schema";
import type { Numeric } from "./exact";

// Answers of routes, as `/openapi.json` describes them.

type Schemas = components["schemas"];

export type Alarm = Schemas["Alarm"];
export type Call = Schemas["CallBody"];
export type CheckReport = Schemas["CheckReport"];
export type Comparison = Schemas["Comparison"];
export type ConnectorEntry = Schemas["ConnectorEntry"];
export type Doubt = Schemas["Doubt"];
export type Envelope = Schemas["Envelope"];
export type ErrorBody = Omit<Schemas["ErrorBody"], "kind"> & { kind?: string };
export type History = Schemas["History"];
export type Job = Schemas["JobBody"];
export type MappedRows = Schemas["MappedRows"];
export type Network = Schemas["NetworkBody"];
export type NetworkCheck = Schemas["NetworkCheck"];
export type NetworkStatus = Schemas["NetworkStatus"];
export type OpenAlarms = Schemas["OpenAlarms"];
export type Part = Schemas["PartBody"];
export type Pause = Schemas["Pause"];
export type QueryAnswer = Schemas["QueryAnswer"];
export type ReplayReport = Schemas["ReplayReport"];
export type Status = Schemas["Status"];
export type Version = Schemas["Version"];
export type Warning = Schemas["Warning"];

// Rows of queries that several views ask: what a SELECT gives is typed where it is written.

export interface Stream {
  network: string;
  account: string;
  stream: string;
  axis: string;
}

/** A stream's window: since ≤ t < until. */
export interface Extent extends Stream {
  since: string;
  until: string;
}

export interface Gap extends Extent {
  kind: "never-read" | "failed";
  failed_at: string | null;
  error: string | null;
}

export interface SentRequest extends Stream {
  run_id: string;
  request_id: string;
  attempt: number;
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
