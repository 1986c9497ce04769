// Bodies and strings that want to be more than text.
import assert from "node:assert/strict";
import { accessible, settled, signIn, sql, tokens, url, visit, withBrowser } from "./browser.mjs";

/** The calls for a piece of a body. */
const PIECES = /\/v1\/raw\/[0-9a-f]+\?skip_bytes/;
/** How long the page may take over a body of one piece: one whose layout is quadratic takes longer. */
const LAYOUT_MS = 10_000;

const [{ raw_object: digest }] = await sql("SELECT raw_object FROM raw.objects ORDER BY body_bytes DESC LIMIT 1");

await withBrowser(async (page) => {
  await signIn(page, tokens.admin);
  await visit(page, "Transactions", "/transactions");
  await page.getByText("<img src=x onerror=").first().waitFor();
  await harmless(page);
  await page.getByRole("region", { name: "Transactions" }).getByRole("link").first().click();
  await settled(page);
  await harmless(page);
  const inspector = await page.context().newCDPSession(page);
  let received = 0;
  inspector.on("Network.dataReceived", ({ dataLength }) => (received += dataLength));
  await inspector.send("Network.enable");
  await inspector.send("Performance.enable");
  await page.getByRole("link", { name: "The response it came from" }).last().click();
  await settled(page);
  await harmless(page);
  await page.getByText("<img src=x onerror=").first().waitFor();
  const body = page.getByLabel("The body", { exact: true });
  await body.waitFor();
  // Of 100 MB one piece is there, and one more on demand: in the page, and over the wire.
  await page.getByText("256.0 kB so far").waitFor();
  await page.getByRole("button", { name: "Read on" }).click();
  await page.getByText("512.0 kB so far").waitFor();
  const text = await body.evaluate((element) => element.textContent);
  assert.ok(text.length < 1_000_000, `${text.length} characters`);
  assert.ok(text.includes("<script>") && text.includes("⟨U+202E⟩") && text.includes("⟨U+E0041⟩") && text.includes("\u2401"), text.slice(0, 500));
  // What is held, without what is garbage already.
  await inspector.send("HeapProfiler.collectGarbage");
  const { metrics } = await inspector.send("Performance.getMetrics");
  const heap = metrics.find(({ name }) => name === "JSHeapUsedSize").value;
  assert.ok(received < 4e6, `${received} bytes were received`);
  assert.ok(heap < 60e6, `the page holds ${heap} bytes`);
  await harmless(page);
  await accessible(page, "a hostile body");
  await end(digest);
  await farRecord(page);
  await encoded(page);
  await wide(page);
  for (const unit of ["{},", "[", "[],", '{"a":', "<!--", "<![CDATA[", "<a>", "\"\\n"]) await laidOut(page, unit);

  // What the connector says of an account is no markup either.
  await page.goto(`${url}/completeness/awin`);
  await settled(page);
  await page.getByRole("region", { name: "Gaps" }).getByText("<img src=x onerror=hacked=1>").first().waitFor();
  await page.locator('.heat .segment.failed[title*="⟨U+202E⟩"][aria-label*="⟨U+202E⟩"]').first().waitFor();
  await harmless(page);
  await visit(page, "Connectors", "/connectors");
  await harmless(page);
  // Opened by itself, a body is no page.
  const opened = await page.request.get(`${url}/v1/raw/${digest}`, { headers: { Authorization: `Bearer ${tokens.admin}` } });
  assert.equal(opened.headers()["content-type"], "application/octet-stream");
  assert.match(opened.headers()["content-security-policy"], /sandbox/);
});

/** Of 1,500 records the one that the URL names is shown, with those around it. */
async function farRecord(page) {
  const there = new URL(page.url());
  there.searchParams.set("record", "1205");
  await page.goto(there.href);
  await page.getByText(", 1200 to 1299 shown").waitFor();
  await page.getByRole("region", { name: "Record 1205", exact: true }).waitFor();
  await page.getByRole("button", { name: "Later records" }).click();
  await page.getByText(", 1300 to 1399 shown").waitFor();
}

/** A body that is no UTF-8 is read as what it is. */
async function encoded(page) {
  for (const [body, text] of [[Buffer.from("\ufeffDüsseldorf", "utf16le"), "in utf-16le"], [Buffer.from("Düsseldorf", "latin1"), "in windows-1252"]]) {
    await page.route(PIECES, (route) => route.fulfill({ body, contentType: "application/octet-stream" }));
    await page.reload();
    await page.getByText(text).waitFor();
    await page.getByLabel("The body", { exact: true }).getByText("Düsseldorf", { exact: true }).waitFor();
    await page.unroute(PIECES);
  }
}

/** A table of more columns than a page can hold. */
async function wide(page) {
  await page.route(PIECES, (route) => route.fulfill({ body: `${"x,".repeat(60_000)}\n${"1,".repeat(60_000)}`, contentType: "text/csv" }));
  await page.reload();
  await page.getByText("and 20,000 cells").waitFor();
  const table = page.getByRole("region", { name: "The body as a table" });
  const cells = await table.evaluate((element) => element.querySelectorAll("th, td").length);
  assert.ok(cells <= 20_000 + 2, `${cells} cells`);
  await page.unroute(PIECES);
}

/** A body of one piece that is made to take long, or to become long. */
async function laidOut(page, unit) {
  let answer;
  const isAsked = new Promise((asked) => {
    void page.route(PIECES, (route) => {
      answer = () => route.fulfill({ body: unit.repeat(250_000 / unit.length), contentType: "application/octet-stream" });
      asked();
    });
  });
  await page.reload();
  await isAsked;
  await answer();
  await page.getByText(/^250\.0 kB/).waitFor({ timeout: LAYOUT_MS });
  const length = await page.getByLabel("The body", { exact: true }).evaluate((element) => element.textContent.length);
  assert.ok(length >= 249_000 && length < 4_500_000, `${unit}: ${length} characters`);
  await page.unroute(PIECES);
}

/** All of it can be fetched, to its last record. */
async function end(digest) {
  const headers = { Authorization: `Bearer ${tokens.admin}` };
  const whole = await fetch(`${url}/v1/raw/${digest}`, { headers });
  assert.equal(whole.status, 200);
  const bytes = Buffer.from(await whole.arrayBuffer());
  assert.equal(bytes.length, 100_000_003);
  const piece = await fetch(`${url}/v1/raw/${digest}?skip_bytes=${bytes.length - 1_000}&max_bytes=5000`, { headers });
  const last = Buffer.from(await piece.arrayBuffer());
  assert.ok(last.equals(bytes.subarray(-1_000)) && last.includes("<script>"), last.toString());
}

async function harmless(page) {
  const found = await page.evaluate(() => ({
    hacked: window.hacked,
    images: [...document.images].map(({ src }) => new URL(src).pathname).filter((path) => !path.startsWith("/assets/icon-")),
    scripts: [...document.scripts].filter(({ src }) => !new URL(src || "x:").pathname.startsWith("/assets/")).length,
    frames: document.querySelectorAll("iframe, object, embed").length,
    // In texts, `title` and `aria-label` alike.
    unseen: /.{0,80}[\u0001\u202e\ue000\u{e0041}]/u.exec(document.body.innerHTML)?.[0],
  }));
  assert.deepEqual(found, { hacked: undefined, images: [], scripts: 0, frames: 0, unseen: undefined });
}
