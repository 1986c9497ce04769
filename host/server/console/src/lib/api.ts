import { signal } from "@preact/signals";
import createClient from "openapi-fetch";
import type { paths } from "../schema";
import { parseExact } from "./exact";

/** What the API gives as a failure. */
export interface ErrorBody {
  error: string;
  kind?: string;
  causes?: string[];
  hint?: string | null;
}

export class ApiFailure extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
  ) {
    super(body.error);
  }
}

/** Something that a result may lack. */
export interface Warning {
  warning: string;
  doubt_id?: string;
  network?: string;
}

const KEY = "sluice-token";

/** The token, for as long as the tab is open. */
export const token = signal<string | null>(sessionStorage.getItem(KEY));
/** Why the viewer has to sign in again. */
export const signedOut = signal<string | null>(null);

export function signIn(text: string): void {
  sessionStorage.setItem(KEY, text);
  signedOut.value = null;
  token.value = text;
}

export function signOut(why: string | null = null): void {
  sessionStorage.removeItem(KEY);
  signedOut.value = why;
  token.value = null;
}

const MAX_ATTEMPTS = 4;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Sends a request with the token; waits where the token has called too often. */
async function send(request: Request): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const copy = request.clone();
    if (token.value) copy.headers.set("Authorization", `Bearer ${token.value}`);
    const response = await fetch(copy);
    if (response.status === 401) signOut("The token is not known, or was removed.");
    if (response.status !== 429 || attempt === MAX_ATTEMPTS) return response;
    await pause(1_000);
  }
}

export const client = createClient<paths>({ baseUrl: window.location.origin, fetch: send });

/** What openapi-fetch gives: the body as text, or what a failure's body was parsed to. */
interface Answer {
  data?: unknown;
  error?: unknown;
  response: Response;
}

function failure(status: number, body: unknown): ApiFailure {
  const isBody = typeof body === "object" && body !== null && "error" in body;
  return new ApiFailure(status, isBody ? (body as ErrorBody) : { error: `the server answered ${status}` });
}

/** A call's answer, asked for as text so that no digit is lost. */
export async function answer<T>(sent: Promise<Answer>): Promise<T> {
  const { data, error, response } = await sent;
  if (!response.ok) throw failure(response.status, error);
  return parseExact(String(data)) as T;
}

/** A call that starts a job, or asks for one. */
export async function call<T>(method: "GET" | "POST", path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const text = method === "POST" ? JSON.stringify(body) : undefined;
  const headers = { "Content-Type": "application/json" };
  const response = await send(new Request(new URL(path, window.location.origin), { method, headers, body: text, signal }));
  if (!response.ok) throw failure(response.status, await response.json().catch(() => null));
  return parseExact(await response.text()) as T;
}

/** Rows of a query, and what they may lack. */
export interface Rows<T> {
  rows: T[];
  warnings: Warning[];
}

export type SqlFormat = "json" | "csv" | "parquet" | "arrow";

const warningsOf = (response: Response) => JSON.parse(response.headers.get("sluice-warnings") ?? "[]") as Warning[];

export async function sql<T>(query: string, signal?: AbortSignal): Promise<Rows<T>> {
  const sent = client.POST("/v1/sql", { body: { query, format: "json" }, parseAs: "text", signal });
  const rows = await answer<T[]>(sent);
  return { rows, warnings: warningsOf((await sent).response) };
}

/** The result of a query as a file. */
export async function sqlFile(query: string, format: SqlFormat): Promise<Blob> {
  const { data, error, response } = await client.POST("/v1/sql", { body: { query, format }, parseAs: "blob" });
  if (!response.ok) throw failure(response.status, error);
  return data as unknown as Blob;
}

/** The bytes of a response, as they come. */
export async function rawBody(digest: string, signal: AbortSignal): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const request = new Request(new URL(`/v1/raw/${encodeURIComponent(digest)}`, window.location.origin), { signal });
  const response = await send(request);
  if (!response.ok || !response.body) throw failure(response.status, await response.json().catch(() => null));
  return response.body.getReader();
}

/** The stream of changes. */
export async function eventStream(signal: AbortSignal): Promise<ReadableStreamDefaultReader<string>> {
  const headers = { Accept: "text/event-stream" };
  const response = await send(new Request(new URL("/v1/events", window.location.origin), { headers, signal }));
  if (!response.ok || !response.body) throw failure(response.status, await response.json().catch(() => null));
  return response.body.pipeThrough(new TextDecoderStream()).getReader();
}
