import { call, ApiFailure, type ErrorBody } from "./api";

/** Work that outlives the call that started it. */
export interface Job<T> {
  id: string;
  state: "waiting" | "running" | "done" | "doubtful" | "failed" | "lost";
  result: T | null;
  error: ErrorBody | null;
}

const POLL_MS = 1_000;

/** Which part of a network. */
export interface Part {
  network: string;
  account?: string;
  stream?: string;
  axis?: string;
  since?: string;
  until?: string;
}

/** Starts a job and waits for its end. */
async function finish<T>(path: string, body: unknown): Promise<Job<T>> {
  let job = await call<Job<T>>("POST", path, body);
  while (job.state === "waiting" || job.state === "running") {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    job = await call<Job<T>>("GET", `/v1/jobs/${encodeURIComponent(job.id)}`);
  }
  if (job.state === "failed" || job.state === "lost") {
    throw new ApiFailure(422, job.error ?? { error: job.state === "lost" ? "the process that did it has ended" : "it failed" });
  }
  return job;
}

/** Reads a window now. */
export const run = (part: Part) => finish<unknown>("/v1/runs", part);

/** How a table of counts differs. */
interface Rows {
  count: number;
  examples: { account: string; transaction_id: string }[];
}

/** What another version would make of history. */
export interface ReplayReport {
  connector: { version: string; digest: string };
  empty: boolean;
  responses: number;
  compared: number;
  added: Rows;
  removed: Rows;
  changed: Rows;
  fields: Record<string, { count: number; examples: { account: string; transaction_id: string; before: string | null; after: string | null }[] }>;
  totals: { currency: string | null; before: string; after: string; difference: string }[];
  new_rejects: { count: number };
  gone_rejects: { count: number };
}

/** Maps history by a version, and changes nothing. */
export const compare = (part: Part & { version?: string }) => finish<ReplayReport>("/v1/replays", part);
