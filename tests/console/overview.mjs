// The first view and completeness: whether all is there, and whether it is right.
import assert from "node:assert/strict";
import { isDeepStrictEqual } from "node:util";
import { ago, ask, cells, fits, photographed, settled, span, sql, url, visit } from "./browser.mjs";

const ROWS = "FROM unified.earnings_daily WHERE basis = 'payment' AND day > current_date() - INTERVAL '90 days' AND day <= current_date() + INTERVAL '1 day'";

/** The digits of an amount as it is shown, with its sign: to the places of its currency. */
const digits = (text) => text.replace(/[^\d.,-]/g, "").replaceAll(",", "");
const rounded = (amount) => new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(amount).replaceAll(",", "");

export async function overview(page) {
  await visit(page, "Overview", "/");
  await page.getByRole("img", { name: /Commission by day and network/ }).waitFor();
  const doubts = page.locator(".tile", { hasText: "open doubts" });
  assert.match(await doubts.innerText(), /^2\s/);
  // Which ones, and where to decide them.
  const open = page.locator(".panel", { has: page.getByRole("heading", { name: "Open alarms and doubts", exact: true }) });
  assert.equal(await open.locator('a[href^="/doubts/"]:not([href^="/doubts/alarm/"])').count(), 2);
  await alarms(page, open);
  for (const [network, read] of await cells(page, "Freshness by network")) assert.match(read, ago, network);
  await page.getByText("As a table, all currencies").click();
  const sums = page.getByRole("region", { name: "Commission by network and currency" });
  await sums.waitFor();
  // A currency beside each amount, and no sum over several.
  const amounts = await sums.locator("td .money").allInnerTexts();
  assert.ok(amounts.length > 5 && amounts.every((amount) => /^-?[\d,.]+ [A-Z]{3}$/.test(amount)), amounts.join(" | "));
  await page.getByText("As a table, all currencies").click();
  await page.getByRole("button", { name: "Validation day" }).click();
  await page.waitForURL(/by=validation/);
  await settled(page);
  await paid(page);
  await unpaid(page);
  await changed(page);
  await page.getByRole("button", { name: "Transaction day" }).click();
  await settled(page);
  await photographed(page, "overview");
}

/** All alarms that are open are counted, and the newest of them are named. They are found while the page is looked at. */
async function alarms(page, panel) {
  const links = panel.locator('a[href^="/doubts/alarm/"]');
  await links.first().waitFor();
  const tile = page.locator(".tile", { hasText: "open alarms" });
  for (let left = 30; ; left--) {
    const open = (await ask("/v1/alarms")).filter(({ state }) => state === "open").reverse();
    const wanted = [open.length, ...open.slice(0, 5).map(({ alarm_id }) => `/doubts/alarm/${alarm_id}`)];
    const shown = [parseInt(await tile.innerText(), 10), ...(await links.evaluateAll((links) => links.map((link) => link.pathname)))];
    if (isDeepStrictEqual(shown, wanted)) break;
    assert.ok(left > 0, `${JSON.stringify(shown)}, not ${JSON.stringify(wanted)}`);
  }
}

/** An answer of the API as another one. */
async function replaced(page, pattern, change) {
  await page.route(pattern, async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: change(await response.json(), route.request().postDataJSON()) });
  });
}

/** What the first view asks for, once each: the stream's first counts are no change, and what changes meanwhile waits. */
export async function firstView(page) {
  let answer;
  const isHeld = new Promise((resolve) => (answer = resolve));
  const asked = [];
  await page.route(/\/v1\//, async (route) => {
    asked.push(new URL(route.request().url()).pathname);
    if (asked.filter((path) => path === "/v1/queries").length === 1 && asked.at(-1) === "/v1/queries") await isHeld;
    await route.continue();
  });
  const event = (name, data) => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
  const counts = (runs) => ({ runs, doubts: 1, alarms: 1, connectors: 1, networks: 1 });
  const body = event("session", { token: "somebody", role: "admin", changes: counts(1) }) + event("changes", counts(2));
  await page.route("**/v1/events", (route) => {
    asked.push("/v1/events");
    return route.fulfill({ contentType: "text/event-stream", body });
  });
  await page.goto(url);
  await page.getByText("somebody (admin)").waitFor();
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))));
  const queries = () => asked.filter((path) => path === "/v1/queries").length;
  assert.equal(queries(), 1, "a change waits for the answer");
  // An alarm each for 4,500 accounts would be more than the view may take.
  assert.ok(!asked.includes("/v1/alarms") && asked.includes("/v1/alarms/open"), asked.join(" "));
  answer();
  await page.getByRole("img", { name: /Commission by day and network/ }).waitFor();
  await settled(page);
  assert.ok(queries() > 1, "the change is asked for then");
  await page.unrouteAll({ behavior: "wait" });
}

/** Amounts without a currency are a choice, and not the first one. */
export async function currencies(page) {
  await replaced(page, "**/v1/queries", (answers) => {
    for (const { rows } of answers) {
      if (rows[0]?.day && "currency" in rows[0]) rows.unshift({ ...rows[0], currency: null, commission: 1, transactions: 1 });
    }
    return answers;
  });
  await page.goto(url);
  await page.getByRole("img", { name: /^Commission by day and network in [A-Z]{3};/ }).waitFor();
  await page.getByRole("group", { name: "Currency" }).getByRole("button", { name: "no currency" }).click();
  await page.waitForURL(/currency=no/);
  await page.getByRole("img", { name: /^Commission by day and network in no currency;/ }).waitFor();
  await page.unrouteAll({ behavior: "wait" });
}

/** A network of the settings that nothing was attempted of isn't left out. */
export async function unattempted(page) {
  await replaced(page, "**/v1/networks", (all) => [...all, { ...all[0], name: "ghost", connector: "ghost" }]);
  await page.goto(url);
  await page.getByRole("region", { name: "Freshness by network" }).getByRole("row", { name: /^ghost/ }).waitFor();
  const [first] = await cells(page, "Freshness by network");
  assert.deepEqual(first, ["ghost", "never", "–", "–", "–"]);
  await page.unrouteAll({ behavior: "wait" });
}

/** Where the gaps aren't known, no map is drawn: all would look read. */
async function unknownGaps(page) {
  await replaced(page, "**/v1/queries", (answers, { queries }) =>
    answers.map((answer, at) => (queries[at].includes("max(failed_at) AS failed_at") ? { rows: [], warnings: [], error: { error: "no gaps" } } : answer)),
  );
  await page.goto(`${url}/completeness/awin`);
  await page.getByRole("alert").getByText("no gaps").waitFor();
  await settled(page);
  assert.equal(await page.locator(".heat .segment.read").count(), 0);
  await page.unrouteAll({ behavior: "wait" });
  await page.getByRole("button", { name: "Try again" }).click();
  await page.locator(".heat .segment.read").first().waitFor();
}

/** Commission by the day of payment: each sum is that of the transactions that were paid. */
async function paid(page) {
  await page.getByRole("button", { name: "Payment day" }).click();
  await page.waitForURL(/by=payment/);
  await settled(page);
  await page.getByText("As a table, all currencies").click();
  await settled(page);
  const shown = await cells(page, "Commission by network and currency");
  const asked = await sql(`SELECT network, commission_currency AS currency, sum(commission_effective) AS amount, sum(transactions) AS n ${ROWS}
    GROUP BY ALL ORDER BY currency, amount DESC`);
  assert.ok(asked.length > 0, "something was paid");
  assert.deepEqual(
    shown.map(([network, amount, n]) => [network, digits(amount), amount.slice(-3), digits(n)]),
    asked.map(({ network, currency, amount, n }) => [network, rounded(amount), currency, String(n)]),
  );
}

/** What is owed, by currency and age, and nothing lost between the ages. */
async function unpaid(page) {
  const shown = await cells(page, "Unpaid commission by currency and age");
  const owed = await sql("SELECT commission_currency AS currency, age_days, commission_effective AS amount FROM unified.unpaid");
  assert.ok(owed.length > 0, "something is owed");
  const ages = [[0, 30], [31, 60], [61, 90], [91, 180], [181, Infinity]];
  for (const [currency, ...amounts] of shown) {
    const own = owed.filter((row) => row.currency === currency);
    const sum = ([from, to]) => own.filter(({ age_days }) => (from === 0 || age_days >= from) && age_days <= to);
    const expected = ages.map((age) => (sum(age).length === 0 ? "–" : rounded(sum(age).reduce((total, { amount }) => total + amount, 0))));
    assert.deepEqual(amounts.map((amount) => (amount === "–" ? amount : digits(amount))), expected, `owed in ${currency}`);
  }
  assert.equal(shown.length, new Set(owed.map(({ currency }) => currency)).size);
}

/** What changed since yesterday, and why: all versions since, and what they restate in money. */
async function changed(page) {
  const shown = await cells(page, "Changes by network and cause");
  const asked = await sql(`SELECT network, change, count(*) AS n FROM unified.transaction_versions
    WHERE observed_at > now() - INTERVAL '1 day' GROUP BY ALL`);
  assert.ok(asked.length > 0 && shown.length >= asked.length, JSON.stringify(shown));
  for (const { network, change, n } of asked) {
    const own = shown.filter(([name, cause]) => name === network && cause === change.replaceAll("-", " "));
    assert.equal(own.reduce((sum, [, , count]) => sum + Number(digits(count)), 0), n, `${change} of ${network}`);
  }
  const restated = await sql(`SELECT network, commission_currency AS currency, sum(commission_difference) AS difference
    FROM unified.restatements(now() - INTERVAL '1 day', now()) GROUP BY ALL HAVING sum(commission_difference) <> 0`);
  for (const { network, currency, difference } of restated) {
    const own = shown.filter(([name, , , money]) => name === network && money.endsWith(currency));
    const sum = own.reduce((sum, [, , , money]) => sum + Number(digits(money)), 0);
    assert.ok(Math.abs(sum - difference) < 0.01 * own.length, `restated of ${network} in ${currency}: ${sum}, not ${difference}`);
  }
}

/** The gap that the test left in Awin's alpha is found, and read. */
export async function completeness(page) {
  await visit(page, "Completeness", "/completeness");
  await photographed(page, "completeness");
  await page.getByRole("main").getByRole("link", { name: "awin" }).click();
  await page.waitForURL(/\/completeness\/awin$/);
  await settled(page);
  for (const [, , window] of await cells(page, "Gaps")) assert.match(window, span);
  const gap = page.getByRole("button", { name: /^alpha: Never read/ });
  await gap.first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("alpha").waitFor();
  // It has a URL, and a reason: what the settings and the schedule know.
  await page.waitForURL(/\/completeness\/awin\?.*account=.*since=\d{4}-/);
  await page.reload();
  await dialog.getByText("A window that was never read").waitFor();
  await dialog.getByText("It is paused, so the schedule leaves it alone: the test reads.").waitFor();
  await dialog.getByRole("button", { name: "Read this window now" }).click();
  await dialog.getByText("It was read.").waitFor();
  await dialog.getByRole("button", { name: "Close", exact: true }).last().click();
  await gap.first().waitFor({ state: "detached" });
  assert.equal(new URL(page.url()).searchParams.get("account"), null);
  await heldBack(page);
  await unreadAccounts(page);
  await hiddenGaps(page);
  await unknownGaps(page);
}

/** On each day of a month its name stands in the map, or is left out, and makes it no wider. The page's clock stays there. */
export async function monthsBegin(page) {
  const now = new Date();
  for (const day of [1, 2, 8, 15]) {
    await page.clock.setFixedTime(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, day, 12));
    await page.goto(`${url}/completeness`);
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 800 });
      await fits(page, `completeness at ${width} on day ${day}`);
    }
    assert.ok((await page.locator(".ticks .track span").count()) > 1, "months have marks");
  }
}

/** What a doubt holds back is no read that failed, and leads to its doubt. */
async function heldBack(page) {
  await page.locator(".heat .segment.doubtful").first().waitFor();
  assert.equal(await page.locator(".heat .segment.failed").count(), 0);
  const kinds = (await cells(page, "Gaps")).map(([, , , kind]) => kind);
  assert.ok(kinds.includes("doubtful") && !kinds.includes("failed"), kinds.join(", "));
  const last = (await cells(page, "Streams whose last read failed or is doubtful")).map(([, , outcome]) => outcome);
  assert.ok(last.includes("doubtful") && !last.includes("failed"), last.join(", "));
  await page.getByRole("region", { name: "Gaps" }).getByRole("link", { name: "doubtful" }).first().click();
  await page.waitForURL(/\/doubts\/./);
}

/** Accounts of which nothing was ever read have a row too: with what failed, and with nothing. */
async function unreadAccounts(page) {
  await page.goto(`${url}/completeness/shareasale`);
  await settled(page);
  const row = (account) => page.locator(".heat", { has: page.getByText(account, { exact: true }) });
  await row("broken").getByText("never read to the end").waitFor();
  await row("broken").getByRole("button", { name: /^broken: Failed/ }).first().click();
  await page.getByRole("dialog").getByText("A read that failed").waitFor();
  await page.getByRole("dialog").locator(".note.bad").first().waitFor();
  await page.keyboard.press("Escape");
  await row("unread").getByText("never read to the end").waitFor();
  assert.equal(await row("unread").locator(".segment").count(), 0);
  const failing = await cells(page, "Streams whose last read failed or is doubtful");
  assert.ok(failing.some(([account, , outcome, at]) => account.includes("broken") && outcome === "failed" && ago.test(at)), JSON.stringify(failing));
  // What was never read can be read here, and says what keeps it from that.
  await row("unread").getByRole("button", { name: /^Why\?/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("No run has asked for anything of it yet").waitFor();
  await dialog.getByRole("button", { name: "Read it now" }).click();
  await dialog.getByRole("alert").waitFor();
  await page.keyboard.press("Escape");
}

/** More gaps than are drawn don't look read, and the list says how many there are. */
async function hiddenGaps(page) {
  const total = (await sql("SELECT count(*) AS n FROM meta.gaps WHERE since IS NOT NULL AND network = 'awin'"))[0].n;
  assert.ok(total >= 1, "a gap is left");
  // As if no more could be drawn and listed.
  await page.route("**/v1/queries", async (route) => {
    const body = JSON.parse(route.request().postData());
    const queries = body.queries.map((query) => (query.includes("meta.gaps") ? query.replace(/LIMIT \d+/, "LIMIT 0") : query));
    await route.continue({ postData: JSON.stringify({ queries }) });
  });
  await page.goto(`${url}/completeness/awin`);
  await settled(page);
  await page.locator('.heat .segment.unknown[title*="not drawn"]').first().waitFor();
  await page.goto(`${url}/completeness`);
  await settled(page);
  await page.locator('.heat .segment.unknown[title^="awin: "]').first().waitFor();
  await page.unroute("**/v1/queries");
}

/** Rows that vanished are drawn where all networks are shown, and where one is. */
export async function vanished(page) {
  const rows = await sql("SELECT network, account, CAST(transaction_day AS VARCHAR) AS day, count(*) AS n FROM unified.transactions WHERE change = 'vanished' GROUP BY ALL ORDER BY day DESC");
  assert.ok(rows.length > 0, "something vanished");
  const [{ network, day }] = rows;
  const n = rows.filter((row) => row.network === network && row.day === day).reduce((sum, row) => sum + row.n, 0);
  await page.goto(`${url}/completeness`);
  await settled(page);
  await page.locator(`.heat .segment.vanished[title^="${network}: ${day}: ${n} transaction"]`).first().waitFor();
  await page.goto(`${url}/completeness/${network}`);
  await settled(page);
  await page.locator(`.heat .segment.vanished[title*="${day}: "]`).first().waitFor();
}
