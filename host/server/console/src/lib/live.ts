import { effect, signal } from "@preact/signals";
import { ApiFailure, eventStream, token } from "./api";

export type Topic = "runs" | "doubts" | "alarms" | "connectors" | "networks";
export type Role = "read" | "operate" | "admin";

/** Who the token is. */
export const session = signal<{ token: string; role: Role } | null>(null);
/** Whether changes arrive. */
export const isLive = signal(false);
/** How often each topic was seen to change. */
export const changes = signal<Record<Topic, number>>({ runs: 0, doubts: 0, alarms: 0, connectors: 0, networks: 0 });

const ROLES: Role[] = ["read", "operate", "admin"];

/** Whether the token may do what needs a role. Unknown counts as yes: the server decides. */
export const may = (role: Role) => !session.value || ROLES.indexOf(session.value.role) >= ROLES.indexOf(role);

const RETRY_MS = 5_000;

/** What the server counted last. What the first event counts is no change: answers come later. */
let counted: Partial<Record<Topic, number>> | null = null;

function count(now: Record<Topic, number>): void {
  const next = { ...changes.value };
  for (const topic of Object.keys(next) as Topic[]) if (counted && counted[topic] !== now[topic]) next[topic]++;
  counted = now;
  changes.value = next;
}

function take(event: string): void {
  const lines = event.split("\n");
  const field = (name: string) => lines.find((line) => line.startsWith(`${name}:`))?.slice(name.length + 1).trim();
  const [name, data] = [field("event"), field("data")];
  if (!name || !data) return;
  const body = JSON.parse(data) as { token: string; role: Role; changes: Record<Topic, number> };
  if (name === "session") {
    session.value = { token: body.token, role: body.role };
    count(body.changes);
  } else if (name === "changes") count(body as unknown as Record<Topic, number>);
}

/** Reads one stream to its end. */
async function read(signal: AbortSignal): Promise<void> {
  const reader = await eventStream(signal);
  isLive.value = true;
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split("\n\n");
    rest = events.pop() ?? "";
    events.forEach(take);
  }
}

async function watch(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await read(signal);
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 401) break;
    }
    if (signal.aborted) return;
    // Also where the stream ended as it should: whoever ends it may do so at once.
    isLive.value = false;
    // What changes until there is another isn't known.
    counted ??= {};
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

// A stream per token: it begins when the viewer signs in.
let stop: AbortController | null = null;
effect(() => {
  stop?.abort();
  stop = counted = null;
  session.value = null;
  isLive.value = false;
  if (token.value) {
    stop = new AbortController();
    void watch(stop.signal);
  }
});
