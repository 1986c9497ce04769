// What an operator decides: on versions of connectors, on doubts, on alarms.
import assert from "node:assert/strict";
import { ago, ask, cells, photographed, settled, span, visit } from "./browser.mjs";

const entry = (page, network) => page.locator(".panel", { has: page.getByRole("heading", { name: network, exact: true }) });

const serving = (panel) => panel.locator(".facts > div", { hasText: "Serves" });

async function decide(page, panel, decision) {
  await panel.getByRole("button", { name: decision }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Yes" }).click();
}

/** A version that wants another host waits, is approved, serves, and is rolled back. One that does worse is promoted. */
export async function connectors(page) {
  await visit(page, "Connectors", "/connectors");
  const awin = entry(page, "awin");
  await awin.getByText("+ host cdn.awin.com").first().waitFor();
  await trial(page);
  await photographed(page, "connectors");
  await decide(page, awin, "Approve");
  await serving(awin).getByText("0.2.0").waitFor();
  await awin.getByText("+ host cdn.awin.com").first().waitFor({ state: "detached" });
  await decide(page, awin, "Roll back");
  await awin.getByText("Rolled back: awin").waitFor();
  await serving(awin).getByText("0.1.0").waitFor();
  const cj = entry(page, "cj");
  await decide(page, cj, "Promote");
  await cj.getByText("Promoted: cj").waitFor();
  await serving(cj).getByText("0.2.0").waitFor();
  await cj.locator(".facts > div", { hasText: "Waits" }).waitFor({ state: "detached" });
  await decide(page, cj, "Roll back");
  await serving(cj).getByText("0.1.0").waitFor();
  // One has a URL of its own.
  await page.getByRole("link", { name: "Only awin" }).click();
  assert.equal(new URL(page.url()).pathname, "/connectors/awin");
  await settled(page);
  await serving(awin).waitFor();
  assert.equal(await cj.count(), 0);
}

/** What the version that waits does to the money of kept responses. */
async function trial(page) {
  const { kept } = await ask("/v1/connectors/cj/diff");
  const money = Object.entries(kept.comparison.money).filter(([currency]) => currency !== "?");
  assert.ok(money.length > 0 && money.every(([, { running, candidate }]) => running > 0 && candidate === 0), JSON.stringify(money));
  const shown = await cells(page, "On kept responses: commission");
  const text = (millionths) => new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(millionths / 1e6);
  assert.deepEqual(
    shown,
    money.map(([currency, { running }]) => [currency, `${text(running)} ${currency}`, `0.00 ${currency}`, `${text(-running)} ${currency}`]),
  );
  const counts = await cells(page, "On kept responses: counts");
  const { records, transactions } = kept.comparison;
  assert.deepEqual(counts.slice(0, 2), [records, transactions].map(({ running, candidate }, at) =>
    [["Records", "Transactions"][at], running.toLocaleString("en"), candidate.toLocaleString("en")]));
}

/** One doubt is rejected with a reason, the other accepted: each is in `meta.doubts`, which the test reads. */
export async function doubts(page) {
  await visit(page, "Doubts and alarms", "/doubts");
  await photographed(page, "doubts");
  for (const [, , window, , , found] of await cells(page, "Doubts")) {
    assert.match(window, span);
    assert.match(found, ago);
  }
  await page.getByText(/^since .*, \d{4}-.* UTC$/).first().waitFor();
  await alarms(page);
  const list = page.getByRole("region", { name: "Doubts" });
  await list.getByRole("row", { name: /beta/ }).getByRole("link").click();
  await settled(page);
  await page.getByRole("link", { name: /^Response/ }).first().waitFor();
  await photographed(page, "doubt");
  await page.getByLabel("Reason, kept with the decision").fill("Awin puts the field back");
  await page.getByRole("button", { name: /^Reject/ }).click();
  await page.getByText(/^rejected .* by .*: Awin puts the field back$/).waitFor();
  await page.getByRole("link", { name: "Doubts", exact: true }).click();
  await list.getByRole("row", { name: /alpha/ }).getByRole("link").click();
  await settled(page);
  await page.getByLabel("Reason, kept with the decision").fill("the field has moved for good");
  await page.getByRole("button", { name: /^Accept/ }).click();
  await page.getByText(/^accepted .* by .*: the field has moved for good$/).waitFor();
  await page.getByRole("link", { name: "Doubts", exact: true }).click();
  await page.getByText("No answer is held back.").waitFor();
}

/** One alarm is acknowledged for as long as it lasts, another for four hours. */
async function alarms(page) {
  const open = (await ask("/v1/alarms")).filter(({ state, rule }) => state === "open" && rule !== "doubt");
  assert.ok(open.length >= 2, JSON.stringify(open.map(({ rule }) => rule)));
  const one = ({ summary }) => page.locator(".alarms > li", { hasText: summary });
  const [first, second] = open;
  await one(first).getByRole("link").first().click();
  assert.equal(new URL(page.url()).pathname, `/doubts/alarm/${first.alarm_id}`);
  await settled(page);
  assert.equal(await page.locator(".alarms > li").count(), 1);
  await one(first).waitFor();
  await page.goBack();
  await settled(page);
  await one(first).getByRole("button", { name: "Acknowledge" }).click();
  await one(first).getByText(/^Acknowledged by ops/).waitFor();
  await one(second).getByLabel("Quiet").selectOption("4h");
  await one(second).getByRole("button", { name: "Acknowledge" }).click();
  await one(second).getByText(/opens again/).waitFor();
  const now = new Map((await ask("/v1/alarms")).map((alarm) => [alarm.alarm_id, alarm]));
  const [kept, snoozed] = [first, second].map(({ alarm_id }) => now.get(alarm_id));
  assert.deepEqual([kept.state, kept.acknowledged_by, kept.snoozed_until], ["acknowledged", "ops", null]);
  const hours = (Date.parse(snoozed.snoozed_until) - Date.parse(snoozed.acknowledged_at)) / 3_600_000;
  assert.ok(Math.abs(hours - 4) < 0.01, `snoozed for ${hours} hours`);
}
