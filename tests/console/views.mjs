// Drives each view as an operator does.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { photographed, settled, signIn, tokens, url, visit, withBrowser } from "./browser.mjs";

await withBrowser(async (page) => {
  await page.goto(url);
  await page.getByLabel("Token").fill("sluice_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This token is not known.").waitFor();
  await photographed(page, "sign-in");

  await signIn(page, tokens.admin);
  await page.getByText("Live", { exact: true }).waitFor();
  await overview(page);
  await completeness(page);
  await runs(page);
  await transactions(page);
  await connectors(page);
  await doubts(page);
  await query(page);
  await settings(page);
  await keyboard(page);
});

async function overview(page) {
  await visit(page, "Overview", "/");
  await page.getByRole("img", { name: /Commission by day and network/ }).waitFor();
  const doubts = page.getByRole("link", { name: /open doubts/ });
  assert.match(await doubts.innerText(), /^1\s/);
  await page.getByText("As a table, all currencies").click();
  const sums = page.getByRole("region", { name: "Commission by network and currency" });
  // A currency beside each amount, and no sum over several.
  const amounts = await sums.locator("td .money").allInnerTexts();
  assert.ok(amounts.length > 5 && amounts.every((amount) => /^-?[\d,.]+ [A-Z]{3}$/.test(amount)), amounts.join(" | "));
  await page.getByText("As a table, all currencies").click();
  await page.getByRole("button", { name: "Validation day" }).click();
  await page.waitForURL(/by=validation/);
  await settled(page);
  await page.getByRole("button", { name: "Transaction day" }).click();
  await settled(page);
  await photographed(page, "overview");
}

/** The gap that the test left in Awin's alpha is found, and read. */
async function completeness(page) {
  await visit(page, "Completeness", "/completeness");
  await photographed(page, "completeness");
  await page.getByRole("main").getByRole("link", { name: "awin" }).click();
  await page.waitForURL(/\/completeness\/awin$/);
  await settled(page);
  const gap = page.getByRole("button", { name: /^alpha: Never read/ });
  await gap.first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("alpha").waitFor();
  const { paths } = await (await fetch(`${url}/openapi.json`)).json();
  if (!paths["/v1/runs"].post) return void (await page.keyboard.press("Escape"));
  await dialog.getByRole("button", { name: "Read this window now" }).click();
  await dialog.getByText("It was read.").waitFor();
  await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
  await gap.first().waitFor({ state: "detached" });
}

async function runs(page) {
  await visit(page, "Runs", "/runs");
  await photographed(page, "runs");
  await page.getByLabel("Outcome").selectOption("doubtful");
  await page.waitForURL(/outcome=doubtful/);
  await settled(page);
  await page.getByRole("region", { name: "Runs" }).getByRole("link").first().click();
  await settled(page);
  await page.getByRole("heading", { name: "Slices" }).waitFor();
  await photographed(page, "run");
  await page.getByRole("region", { name: "Requests" }).getByRole("link").first().click();
  await settled(page);
  await page.getByLabel("The body").getByText("commission").first().waitFor();
  await photographed(page, "response");
}

/** From an id to the bytes of the response it came from. */
async function transactions(page) {
  await visit(page, "Transactions", "/transactions");
  const first = page.getByRole("region", { name: "Transactions" }).getByRole("link").first();
  const id = await first.innerText();
  // Two networks may give two transactions one id: the row is known by its address.
  const address = await first.getAttribute("href");
  await page.getByRole("searchbox").fill(id);
  await page.getByRole("button", { name: "Search" }).click();
  await page.waitForURL(/q=/);
  await settled(page);
  await photographed(page, "transactions");
  await page.getByRole("region", { name: "Transactions" }).locator(`a[href="${address}"]`).click();
  await settled(page);
  await page.getByText("first seen").waitFor();
  await photographed(page, "transaction");
  await page.getByRole("link", { name: "The response it came from" }).last().click();
  await settled(page);
  const body = page.getByLabel("The body").or(page.getByRole("region", { name: "The body as a table" }));
  await body.first().waitFor();
  await page.getByRole("button", { name: "As it came" }).click();
  await page.waitForFunction((id) => document.querySelector(".body")?.textContent?.includes(id), id);
}

/** A version that wants another host waits, is approved, serves, and is rolled back. */
async function connectors(page) {
  await visit(page, "Connectors", "/connectors");
  const awin = page.locator(".panel", { has: page.getByRole("heading", { name: "awin", exact: true }) });
  await awin.getByText("+ host cdn.awin.com").first().waitFor();
  await photographed(page, "connectors");
  await awin.getByRole("button", { name: "Approve" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Yes" }).click();
  await awin.getByText("0.2.0").first().waitFor();
  await awin.getByText("+ host cdn.awin.com").first().waitFor({ state: "detached" });
  await awin.getByRole("button", { name: "Roll back" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Yes" }).click();
  await awin.getByText("Rolled back: awin").waitFor();
  await awin.locator(".facts").getByText("0.1.0").waitFor();
}

async function doubts(page) {
  await visit(page, "Doubts and alarms", "/doubts");
  await photographed(page, "doubts");
  await page.getByRole("region", { name: "Doubts" }).getByRole("link").first().click();
  await settled(page);
  await page.getByRole("link", { name: /^Response/ }).waitFor();
  await photographed(page, "doubt");
  await page.getByLabel("Reason, kept with the decision").fill("Awin puts the field back");
  await page.getByRole("button", { name: /^Reject/ }).click();
  await page.getByText(/^rejected .* by .*: Awin puts the field back$/).waitFor();
  await page.getByRole("link", { name: "Doubts", exact: true }).click();
  await page.getByText("No answer is held back.").waitFor();
}

async function query(page) {
  await visit(page, "SQL", "/sql");
  const editor = page.getByLabel(/^Query/);
  await editor.fill("");
  await editor.pressSequentially("SELECT network, commission_currency, sum(commission_eff");
  await editor.press("End");
  await editor.fill("SELECT network FROM unified.live_tr");
  await editor.press("End");
  await editor.pressSequentially("a");
  await page.getByRole("option", { name: "unified.live_transactions" }).waitFor();
  await editor.press("Tab");
  assert.equal(await editor.inputValue(), "SELECT network FROM unified.live_transactions");
  await editor.fill(
    "SELECT transaction_day AS day, commission_currency, sum(commission_effective) AS commission FROM unified.live_transactions GROUP BY ALL ORDER BY 1, 2",
  );
  await editor.press("Control+Enter");
  const result = page.getByRole("region", { name: "Result" });
  await result.getByRole("columnheader", { name: "commission", exact: true }).waitFor();
  assert.ok(await result.getByText(/^\d+\.\d{6}$/).count(), "amounts have all their digits");
  await photographed(page, "sql");
  await page.getByRole("button", { name: "Chart" }).click();
  await page.getByRole("img", { name: /commission by day/ }).waitFor();
  await page.getByText("EUR", { exact: true }).first().waitFor();
  await photographed(page, "chart");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "CSV" }).click();
  const csv = readFileSync(await (await download).path(), "utf8");
  assert.match(csv, /^day,commission_currency,commission\n\d{4}-/);
  await page.getByText("Saved queries and examples").click();
  await page.getByLabel("Name").fill("By day");
  await page.getByRole("button", { name: "Save this query" }).click();
  await page.getByRole("button", { name: "By day", exact: true }).waitFor();
  await editor.fill("SELECT comission_amount FROM unified.transactions");
  await editor.press("Control+Enter");
  await page.getByRole("alert").getByText(/comission_amount/).first().waitFor();
}

async function settings(page) {
  await visit(page, "Settings", "/settings");
  await photographed(page, "settings");
  const cj = page.locator(".setting", { has: page.getByRole("heading", { name: "cj", exact: true }) });
  await cj.getByRole("button", { name: "Resume" }).click();
  await cj.getByRole("button", { name: "Pause" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Reason").fill("moving house");
  await dialog.getByRole("button", { name: "Pause" }).click();
  await cj.getByText("moving house").waitFor();
  const text = await page.locator("body").innerText();
  assert.ok(!text.includes("env:"), "references to secrets stay in the settings");
}

async function keyboard(page) {
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
