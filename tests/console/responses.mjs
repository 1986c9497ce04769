// Runs, their slices, requests and responses, and the transactions that came of them.
import assert from "node:assert/strict";
import { cells, photographed, settled, sql, url, visit } from "./browser.mjs";

export async function runs(page) {
  await visit(page, "Runs", "/runs");
  await page.getByText("No service has a run in flight.").waitFor();
  await older(page);
  await visit(page, "Runs", "/runs");
  await photographed(page, "runs");
  await page.getByLabel("Outcome").selectOption("doubtful");
  await page.waitForURL(/outcome=doubtful/);
  await settled(page);
  await page.getByRole("region", { name: "Runs" }).getByRole("link").first().click();
  await settled(page);
  await page.getByRole("heading", { name: "Slices" }).waitFor();
  await photographed(page, "run");
  await slice(page);
  await page.getByRole("region", { name: "Requests" }).getByRole("link").first().click();
  await settled(page);
  await page.getByLabel("The body", { exact: true }).getByText("commission").first().waitFor();
  await headers(page);
  await photographed(page, "response");
}

/** Runs before one have a URL. */
async function older(page) {
  const all = await sql("SELECT run_id, started_at FROM meta.runs ORDER BY started_at DESC, run_id DESC LIMIT 4");
  await page.goto(`${url}/runs?before=${encodeURIComponent(`${all[1].started_at} ${all[1].run_id}`)}`);
  await settled(page);
  const links = await page.getByRole("region", { name: "Runs" }).getByRole("link").evaluateAll((links) => links.map((link) => link.pathname));
  assert.deepEqual(links.slice(0, 2), all.slice(2).map(({ run_id }) => `/runs/${run_id}`));
  await page.getByRole("button", { name: "Newest" }).click();
  await settled(page);
  await page.getByRole("region", { name: "Runs" }).locator(`a[href="/runs/${all[0].run_id}"]`).waitFor();
}

/** A slice leads to its requests, and to no others. */
async function slice(page) {
  const all = page.url();
  const slices = page.getByRole("region", { name: "Slices" });
  const account = await slices.locator("tbody tr").last().locator("td").first().innerText();
  await slices.getByRole("link").last().click();
  await page.waitForURL(/[?&]since=/);
  await settled(page);
  await page.getByRole("heading", { name: "Requests of a slice" }).waitFor();
  const [run, { stream, axis, since, until }] = [new URL(page.url()).pathname.split("/")[2], Object.fromEntries(new URL(page.url()).searchParams)];
  const [{ n }] = await sql(`SELECT count(*) AS n FROM meta.requests WHERE run_id = '${run}' AND account = '${account}' AND stream = '${stream}'
    AND axis = '${axis}' AND window_since = TIMESTAMP '${since}' AND window_until = TIMESTAMP '${until}'`);
  const shown = await cells(page, "Requests");
  assert.ok(n > 0 && shown.length === n && shown.every(([, one]) => one === account), `${shown.length} of ${n}`);
  await page.getByRole("link", { name: "All requests of the run" }).click();
  assert.equal(page.url(), all);
  await settled(page);
}

/** The headers of the response as it came, and those of the request with its secret masked. */
async function headers(page) {
  const panel = page.locator(".panel", { has: page.getByRole("heading", { name: "Headers, secrets masked" }) });
  await panel.locator("dt", { hasText: /^content-type$/i }).first().waitFor();
  const pairs = await panel.locator(".record > div").evaluateAll((all) => all.map((one) => [...one.children].map((part) => part.innerText)));
  const [, type] = pairs.find(([name]) => name.toLowerCase() === "content-type") ?? [];
  assert.match(type, /json/);
  const [, secret] = pairs.find(([name]) => name.toLowerCase() === "authorization") ?? [];
  assert.ok(secret && !secret.includes("token-") && /\*|mask|redact|…/i.test(secret), `authorization: ${secret}`);
}

/** What a response gave, native fields and transactions, beside what the version that waits makes of it. */
export async function beside(page) {
  const query = `SELECT requests.run_id, requests.request_id, count(*) AS n FROM unified.transaction_versions versions
    JOIN meta.requests requests ON requests.request_id = versions.request_id AND requests.run_id = versions.run_id
    WHERE versions.network = 'cj' AND versions.commission_amount <> 0 GROUP BY ALL ORDER BY n DESC LIMIT 1`;
  const [{ run_id, request_id }] = await sql(query);
  await page.goto(`${url}/runs/${run_id}/requests/${request_id}`);
  await settled(page);
  const first = page.getByRole("region", { name: "Record 0", exact: true });
  await first.getByRole("rowheader", { name: "commissionId", exact: true }).waitFor();
  await first.getByRole("rowheader", { name: "transaction: transaction_id", exact: true }).waitFor();
  const options = await page.getByLabel("Beside").locator("option").allInnerTexts();
  const waiting = options.find((option) => option.startsWith("0.2.0")) ?? assert.fail(`no 0.2.0 in ${options.join(", ")}`);
  await page.getByLabel("Beside").selectOption({ label: waiting });
  await page.getByText(/records? with other rows/).waitFor();
  await settled(page);
  // It reads the commission from a field that isn't there.
  const name = (await page.locator("details[open] > summary").first().innerText()).trim();
  const row = (await cells(page, name)).find(([field]) => field === "transaction: commission_amount") ?? assert.fail("no such row");
  assert.ok(/\d/.test(row[1]) && row[2] === "–", row.join(" | "));
  await photographed(page, "beside");
  await compare(page, waiting);
}

/** The same of the whole slice, in money. */
async function compare(page, waiting) {
  const panel = page.locator(".panel", { has: page.getByRole("heading", { name: "The slice by another version of the connector" }) });
  await panel.getByLabel("Version").selectOption({ label: waiting });
  await panel.getByRole("button", { name: "Compare" }).click();
  await panel.getByRole("region", { name: "Commission by currency" }).waitFor();
  const totals = await cells(page, "Commission by currency");
  const lost = totals.filter(([currency]) => currency !== "no currency");
  assert.ok(lost.length > 0 && lost.every(([, now, , difference]) => difference === `-${now}`), JSON.stringify(totals));
  const fields = await cells(page, "Fields that differ");
  assert.ok(fields.some(([field]) => field === "commission_amount"), JSON.stringify(fields));
}

/** From an id to the bytes of the response it came from. */
export async function transactions(page) {
  await visit(page, "Transactions", "/transactions");
  const first = page.getByRole("region", { name: "Transactions" }).getByRole("link").first();
  const id = await first.innerText();
  // Two networks may give two transactions one id: the row is known by its address.
  const address = await first.getAttribute("href");
  await find(page, id);
  await photographed(page, "transactions");
  await page.getByRole("region", { name: "Transactions" }).locator(`a[href="${address}"]`).click();
  await settled(page);
  await page.getByText("first seen").waitFor();
  // An amount has its currency beside it.
  const fields = await page.locator('[aria-label="Fields of version 1"] tbody tr').evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent.trim())));
  const value = (field) => fields.find(([name]) => name === field)?.[1] ?? assert.fail(`no ${field} in ${JSON.stringify(fields)}`);
  assert.match(value("commission_amount"), new RegExp(`^-?[\\d.]+ ${value("commission_currency")}$`));
  await photographed(page, "transaction");
  await page.getByRole("link", { name: "The response it came from" }).last().click();
  await settled(page);
  const body = page.getByLabel("The body", { exact: true }).or(page.getByRole("region", { name: "The body as a table" }));
  await body.first().waitFor();
  await page.getByRole("button", { name: "As it came" }).click();
  await page.getByLabel("The body", { exact: true }).filter({ hasText: id }).waitFor();
  await searches(page);
}

async function find(page, text) {
  await page.getByRole("searchbox").fill(text);
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL((now) => now.searchParams.get("q") === text);
  await settled(page);
}

/** An order, a sub-id and a part of an advertiser's name each find their transaction. */
async function searches(page) {
  // The newest, as what is found is listed: others may have the same sub-id.
  const one = async (column, where) => {
    const [row] = await sql(`SELECT transaction_key, ${column} AS text FROM unified.transactions WHERE ${where} ORDER BY transacted_at DESC LIMIT 1`);
    return row ?? assert.fail(`no transaction with ${where}`);
  };
  const advertiser = await one("advertiser_name", "advertiser_name IS NOT NULL");
  for (const { transaction_key, text } of [
    await one("order_id", "order_id IS NOT NULL"),
    await one("map_values(sub_ids)[1]", "sub_ids IS NOT NULL AND map_values(sub_ids)[1] IS NOT NULL"),
  ]) {
    await page.goto(`${url}/transactions`);
    await find(page, String(text));
    await page.locator(`a[href="/transactions/${transaction_key}"]`).waitFor();
  }
  await page.goto(`${url}/transactions`);
  await find(page, advertiser.text.slice(1, -1).toUpperCase());
  const found = await cells(page, "Transactions");
  assert.ok(found.length > 0 && found.every(([, , , name]) => name.toUpperCase().includes(advertiser.text.slice(1, -1).toUpperCase())));
}
