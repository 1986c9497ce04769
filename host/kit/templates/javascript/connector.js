// Brightlink, publisher side: sales by their date. It exports the interface `connector` of `wit/connector.wit`: pure
// functions, with WIT's kebab-case names in camelCase.

import { INPUTS, STATUSES, mapRecords, pins } from "./mapping.js";
import { formatTime } from "./values.js";
import { readTexts } from "./columns.js";

const HOST = "api.brightlink.example";
const DAY_SECS = 86_400;

function describe() {
  return {
    network: "brightlink",
    title: "Brightlink",
    version: "0.1.0",
    hosts: [HOST],
    streams: [
      {
        name: "sales",
        unified: true,
        axes: ["transaction"],
        completeWindows: [],
        maxWindowSecs: 31 * DAY_SECS,
        historyDays: null,
        grain: "second",
        timezone: "UTC",
        layout: { format: { tag: "json", val: "/sales" }, pins: pins(), inputs: INPUTS, key: ["id"] },
      },
    ],
    settings: [{ name: "site", meaning: "the site's number", required: true, default: null }],
    secrets: [{ name: "token", meaning: "API token, from your profile's page", required: true }],
    tokens: [],
    rate: { requests: 60, perSecs: 60, concurrency: 2 },
    schedule: "0 * * * *",
    lookBack: [
      { everySecs: 3_600, days: 3, axis: "transaction" },
      { everySecs: DAY_SECS, days: 45, axis: "transaction" },
    ],
    statuses: STATUSES,
  };
}

function plan(slice) {
  return [page(slice, 1)];
}

function follow(slice, request, response) {
  if (response.status === 401 || response.status === 403) {
    return judged("retry", { reason: `the network answers ${response.status}`, afterSecs: null });
  }
  const problem = response.status === 200 ? response.problem : `status ${response.status}`;
  if (problem) return judged("retry", { reason: problem, afterSecs: null });
  if (!response.body.valueAt("/next_page")) return judged("done");
  return judged("more", [page(slice, Number(request.state) + 1)]);
}

function mapResponse(_slice, _request, _response, records) {
  return mapRecords(records.map(readTexts));
}

function judged(tag, val) {
  return { verdict: val === undefined ? { tag } : { tag, val }, cursor: null };
}

/** The request of a page. */
function page(slice, number) {
  const [since, until] = [formatTime(slice.window.since), formatTime(slice.window.until)];
  const site = slice.settings.find(([name]) => name === "site")?.[1] ?? "";
  const query = `site=${encodeURIComponent(site)}&from=${since}&to=${until}&page=${number}`;
  return {
    key: `page-${number}`,
    method: "get",
    url: [text(`https://${HOST}/v1/sales?${query}`)],
    // The host puts the secret in: the connector never sees it.
    headers: [["authorization", [text("Bearer "), { tag: "secret", val: "token" }]]],
    body: null,
    state: String(number),
    yieldsRecords: true,
  };
}

function text(val) {
  return { tag: "text", val };
}

export const connector = { describe, plan, follow, mapResponse };
