// Papercup, an invented network: the whole connector. It exports the interface `connector` of
// `wit/v0.1/connector.wit`: pure functions, with WIT's kebab-case names in camelCase.

import { INPUTS, STATUSES, mapRecords, pins } from "./mapping.js";
import { formatTime } from "./values.js";
import { readTexts } from "./columns.js";

const HOST = "api.papercup.example";
const DAY_SECS = 86_400;

function describe() {
  return {
    network: "papercup",
    title: "Papercup",
    version: "0.1.0",
    hosts: [HOST],
    streams: [
      {
        name: "transactions",
        unified: true,
        completeWindows: true,
        axes: ["transaction"],
        maxWindowSecs: 31 * DAY_SECS,
        grain: "second",
        timezone: "UTC",
        layout: { format: { tag: "json", val: "/sales" }, pins: pins(), inputs: INPUTS, key: ["id"] },
      },
    ],
    settings: [],
    secrets: [{ name: "token", meaning: "API token, sent as `Bearer`", required: true }],
    tokens: [],
    rate: { requests: 60, perSecs: 60, concurrency: 2 },
    schedule: "15 * * * *",
    lookBack: [
      { everySecs: 3_600, days: 3, axis: "transaction" },
      { everySecs: DAY_SECS, days: 45, axis: "transaction" },
    ],
    statuses: STATUSES,
  };
}

function plan(slice) {
  return [page(slice, 1, null)];
}

function follow(slice, request, response) {
  if (response.status === 401 || response.status === 403) {
    return judged("refused", { kind: "credentials", text: `Papercup answers ${response.status}` });
  }
  const problem = response.status === 200 ? response.problem : `status ${response.status}`;
  if (problem) return judged("retry", { reason: problem, afterSecs: null });
  const next = response.body.valueAt("/next");
  if (!next) return judged("done");
  const { page: number, cursor } = JSON.parse(request.state);
  if (next === cursor) return judged("refused", { kind: "response", text: "the next page is the same page" });
  return judged("more", [page(slice, number + 1, next)]);
}

function mapResponse(_slice, _request, _response, records) {
  return mapRecords(records.map(readTexts));
}

function judged(tag, val) {
  return { verdict: val === undefined ? { tag } : { tag, val }, cursor: null };
}

/** The request of a page; pages after the first are asked for by the cursor that the one before gave. */
function page(slice, number, cursor) {
  const [since, until] = [formatTime(slice.window.since), formatTime(slice.window.until)];
  const url = [text(`https://${HOST}/sales?since=${since}&until=${until}`)];
  if (cursor !== null) url.push(text("&cursor="), text(cursor), { tag: "apply", val: "url-encode" });
  return {
    key: `page-${number}`,
    method: "get",
    url,
    // The host puts the secret in: the connector never sees it.
    headers: [["authorization", [text("Bearer "), { tag: "secret", val: "token" }]]],
    body: null,
    state: JSON.stringify({ page: number, cursor }),
    yieldsRecords: true,
  };
}

function text(val) {
  return { tag: "text", val };
}

export const connector = { describe, plan, follow, mapResponse };
