// Queries, settings, and the keyboard.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { ask, cells, photographed, settled, url, visit } from "./browser.mjs";

const DAILY =
  "SELECT transaction_day AS day, commission_currency, sum(commission_effective) AS commission FROM unified.live_transactions GROUP BY ALL ORDER BY 1, 2";

export async function query(page) {
  await visit(page, "SQL", "/sql");
  const editor = page.getByLabel(/^Query/);
  await editor.fill("SELECT network FROM unified.live_tr");
  await editor.press("End");
  await editor.pressSequentially("a");
  await page.getByRole("option", { name: "unified.live_transactions" }).waitFor();
  await editor.press("Tab");
  assert.equal(await editor.inputValue(), "SELECT network FROM unified.live_transactions");
  await editor.fill(DAILY);
  await editor.press("Control+Enter");
  const result = page.getByRole("region", { name: "Result" });
  await result.getByRole("columnheader", { name: "commission", exact: true }).waitFor();
  assert.ok(await result.getByText(/^\d+\.\d{6}$/).count(), "amounts have all their digits");
  await warned(page);
  await photographed(page, "sql");
  await page.getByRole("button", { name: "Chart" }).click();
  await page.getByRole("img", { name: /commission by day/ }).waitFor();
  await page.getByText("EUR", { exact: true }).first().waitFor();
  await unstacked(page);
  await photographed(page, "chart");
  await downloads(page);
  await page.getByText("Saved queries and examples").click();
  await page.getByLabel("Name").fill("By day");
  await page.getByRole("button", { name: "Save this query" }).click();
  await page.getByRole("button", { name: "By day", exact: true }).waitFor();
  await page.getByRole("button", { name: "Table", exact: true }).click();
  await editor.fill("SELECT max(read_at) AS read_at FROM meta.coverage_state");
  await editor.press("Control+Enter");
  await result.getByRole("columnheader", { name: "read_at", exact: true }).waitFor();
  const [[moment]] = await cells(page, "Result");
  assert.match(moment, /^\d{4}-\d\d-\d\dT[\d:.]+Z\s+\d{4}-\d\d-\d\d \d\d:\d\d:\d\d Europe\/Berlin$/);
  await editor.fill("SELECT comission_amount FROM unified.transactions");
  await editor.press("Control+Enter");
  await page.getByRole("alert").getByText(/comission_amount/).first().waitFor();
}

/** Bars are stacked: they are offered only where all amounts are of one currency. */
async function unstacked(page) {
  const currencies = new Set((await ask("/v1/sql", { query: DAILY })).map((row) => row.commission_currency));
  assert.ok(currencies.size > 1, [...currencies].join(", "));
  assert.equal(await page.getByRole("button", { name: "Bars", exact: true }).count(), 0);
}

/** What the result may lack stands beside it: here the gap of Awin's beta. */
async function warned(page) {
  const warnings = page.locator("details.note.warn");
  await warnings.locator("summary").click();
  await warnings.getByText(/rows of awin beta may be missing: .* was never read/).first().waitFor();
  await warnings.getByRole("link", { name: "See the gaps" }).first().waitFor();
  await warnings.locator("summary").click();
}

/** The result in each form: the bytes are of that form, and of that query. */
async function downloads(page) {
  const file = async (name) => {
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name, exact: true }).click();
    return readFileSync(await (await download).path());
  };
  assert.match((await file("CSV")).toString(), /^day,commission_currency,commission\n\d{4}-/);
  const json = JSON.parse((await file("JSON")).toString());
  assert.deepEqual(json, await ask("/v1/sql", { query: DAILY }));
  const parquet = await file("Parquet");
  assert.equal(parquet.subarray(0, 4).toString(), "PAR1");
  assert.equal(parquet.subarray(-4).toString(), "PAR1");
  assert.ok(parquet.includes("commission_currency"), "its schema names the columns");
}

export async function settings(page) {
  await visit(page, "Settings", "/settings");
  await stated(page);
  await photographed(page, "settings");
  const cj = page.getByRole("region", { name: "Settings of cj" });
  await cj.getByRole("button", { name: "Resume" }).click();
  await cj.getByRole("button", { name: "Pause" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Reason").fill("moving house");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await cj.getByText("moving house").waitFor();
  const text = await page.locator("body").innerText();
  assert.ok(!text.includes("env:"), "references to secrets stay in the settings");
}

/** Schedule, days that are read again and rate of each network, and what `sluice check` finds wrong. */
async function stated(page) {
  const facts = (network) => page.getByRole("region", { name: `Settings of ${network}` }).locator(".facts");
  await facts("cj").getByText("0 3 * * *").waitFor();
  await facts("cj").getByText("2,000 requests in 1 second, 8 at once").waitFor();
  await facts("cj").getByText("every 6 hours: 12 days by transaction").waitFor();
  await facts("awin").getByText(/^every .*: \d+ days/).first().waitFor();
  assert.equal(await facts("awin").getByText("(the connector’s own)").count(), 1, "only the look-back");
  assert.equal(await facts("cj").getByText("(the connector’s own)").count(), 0);
  const { networks } = await ask("/v1/check");
  const [problem] = networks.find(({ network }) => network === "shareasale").problems;
  assert.match(problem, /SHAREASALE_UNSET/);
  const check = page.locator(".panel", { has: page.getByRole("heading", { name: "Check", exact: true }) });
  await check.getByText("Wrong: shareasale.").waitFor();
  await page.getByRole("region", { name: "Settings of shareasale" }).getByText(/SHAREASALE_UNSET/).first().waitFor();
}

export async function keyboard(page) {
  await page.locator("body").click({ position: { x: 2, y: 2 } });
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.waitForURL(/\/transactions$/);
  await settled(page);
  await page.keyboard.press("/");
  await page.waitForFunction(() => document.activeElement?.id === "search");
  // A view's URL is enough to come back to it.
  await page.goto(`${url}/runs?outcome=done`);
  await page.getByRole("region", { name: "Runs" }).waitFor();
}
