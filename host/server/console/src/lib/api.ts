import { signal } from "@preact/signals";
import createClient, { type MaybeOptionalInit } from "openapi-fetch";
import type { paths } from "../schema";
import { parseExact } from "./exact";
import type { ErrorBody, QueryAnswer, Warning } from "./types";

export class ApiFailure extends Error {
  constructor(
    readonly status: number,
    readonly body: ErrorBody,
  ) {
    super(body.error);
  }
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

const client = createClient<paths>({ baseUrl: window.location.origin, fetch: send });

function failure(status: number, body: unknown): ApiFailure {
  const isBody = typeof body === "object" && body !== null && "error" in body;
  return new ApiFailure(status, isBody ? (body as ErrorBody) : { error: `the server answered ${status}` });
}

type Method = "get" | "post";
/** The routes that answer a method. */
type Route<M extends Method> = { [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never }[keyof paths];
/** What a route answers with, as `/openapi.json` describes it. */
type Json<R> = R extends { responses: infer S }
  ? { [K in keyof S]: K extends 200 | 202 ? (S[K] extends { content: { "application/json": infer T } } ? T : never) : never }[keyof S]
  : never;
type Init<P extends Route<M>, M extends Method> = MaybeOptionalInit<paths[P], M>;
type Sent = Promise<{ data?: unknown; error?: unknown; response: Response }>;

/** A call's answer, read as text so that no digit is lost. */
async function answer<T>(sent: Sent): Promise<T> {
  const { data, error, response } = await sent;
  if (!response.ok) throw failure(response.status, error);
  return parseExact(String(data)) as T;
}

export function get<P extends Route<"get">>(route: P, init: Init<P, "get">): Promise<Json<paths[P]["get"]>> {
  return answer((client.GET as (route: string, init: object) => Sent)(route, { ...(init as object), parseAs: "text" }));
}

export function post<P extends Route<"post">>(route: P, init: Init<P, "post">): Promise<Json<paths[P]["post"]>> {
  return answer((client.POST as (route: string, init: object) => Sent)(route, { ...(init as object), parseAs: "text" }));
}

/** Rows of a query, and what they may lack. */
export interface Rows<T> {
  rows: T[];
  warnings: Warning[];
}

export type SqlFormat = "json" | "csv" | "parquet" | "arrow";

interface Asked {
  query: string;
  signal?: AbortSignal;
  resolve: (rows: Rows<unknown>) => void;
  reject: (error: unknown) => void;
}

/** Queries of one call at the most. */
const MOST_QUERIES = 16;
let waiting: Asked[] = [];

/** Rows of a query. Those that a view asks for at once are one call, and one process of the server. */
export function sql<T>(query: string, signal?: AbortSignal): Promise<Rows<T>> {
  return new Promise((resolve, reject) => {
    if (waiting.length === 0) setTimeout(askWaiting);
    waiting.push({ query, signal, resolve: resolve as Asked["resolve"], reject });
  });
}

function askWaiting(): void {
  const asked = waiting.filter(({ signal }) => !signal?.aborted);
  waiting = [];
  for (let at = 0; at < asked.length; at += MOST_QUERIES) void ask(asked.slice(at, at + MOST_QUERIES));
}

async function ask(asked: Asked[]): Promise<void> {
  const stop = new AbortController();
  // It goes on for as long as one of them is wanted.
  const leave = () => asked.every(({ signal }) => signal?.aborted) && stop.abort();
  for (const { signal } of asked) signal?.addEventListener("abort", leave);
  try {
    const answers = await post("/v1/queries", { body: { queries: asked.map(({ query }) => query) }, signal: stop.signal });
    asked.forEach(({ resolve, reject }, at) => take(answers[at], resolve, reject));
  } catch (error) {
    for (const { reject } of asked) reject(error);
  }
}

function take(answer: QueryAnswer | undefined, resolve: Asked["resolve"], reject: Asked["reject"]): void {
  if (answer && !answer.error) resolve(answer);
  else reject(new ApiFailure(422, answer?.error ?? { error: "the server left a query out" }));
}

/** Rows of a query that the viewer wrote, in a process of its own. */
export async function ownSql<T>(query: string): Promise<Rows<T>> {
  const sent = client.POST("/v1/sql", { body: { query, format: "json" }, parseAs: "text" });
  const rows = await answer<T[]>(sent);
  const warnings = JSON.parse((await sent).response.headers.get("sluice-warnings") ?? "[]") as Warning[];
  return { rows, warnings };
}

/** The result of a query as a file. */
export async function sqlFile(query: string, format: SqlFormat): Promise<Blob> {
  const { data, error, response } = await client.POST("/v1/sql", { body: { query, format }, parseAs: "blob" });
  if (!response.ok) throw failure(response.status, error);
  return data as unknown as Blob;
}

/** A piece of a response's body; an empty one is beyond its end. */
export async function rawPiece(digest: string, skip_bytes: number, max_bytes: number, signal: AbortSignal): Promise<Uint8Array> {
  const params = { path: { digest }, query: { skip_bytes, max_bytes } };
  const { data, error, response } = await client.GET("/v1/raw/{digest}", { params, parseAs: "arrayBuffer", signal });
  if (!response.ok) throw failure(response.status, error);
  return new Uint8Array((data as ArrayBuffer | undefined) ?? new ArrayBuffer(0));
}

/** The stream of changes. */
export async function eventStream(signal: AbortSignal): Promise<ReadableStreamDefaultReader<string>> {
  const headers = { Accept: "text/event-stream" };
  const response = await send(new Request(new URL("/v1/events", window.location.origin), { headers, signal }));
  if (!response.ok || !response.body) throw failure(response.status, await response.json().catch(() => null));
  return response.body.pipeThrough(new TextDecoderStream()).getReader();
}
