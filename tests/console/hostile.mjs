// Bodies and strings that want to be more than text.
import assert from "node:assert/strict";
import { accessible, settled, signIn, sql, tokens, url, visit, withBrowser } from "./browser.mjs";

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
  assert.ok(text.includes("<script>") && text.includes("⟨U+202E⟩") && text.includes("\u2401"), text.slice(0, 500));
  // What is held, without what is garbage already.
  await inspector.send("HeapProfiler.collectGarbage");
  const { metrics } = await inspector.send("Performance.getMetrics");
  const heap = metrics.find(({ name }) => name === "JSHeapUsedSize").value;
  assert.ok(received < 4e6, `${received} bytes were received`);
  assert.ok(heap < 60e6, `the page holds ${heap} bytes`);
  await harmless(page);
  await accessible(page, "a hostile body");
  await end(digest);

  // What the connector says of an account is no markup either.
  await page.goto(`${url}/completeness/awin`);
  await settled(page);
  await page.getByRole("region", { name: "Gaps" }).getByText("<img src=x onerror=hacked=1>").first().waitFor();
  await harmless(page);
  await visit(page, "Connectors", "/connectors");
  await harmless(page);
  // Opened by itself, a body is no page.
  const opened = await page.request.get(`${url}/v1/raw/${digest}`, { headers: { Authorization: `Bearer ${tokens.admin}` } });
  assert.equal(opened.headers()["content-type"], "application/octet-stream");
  assert.match(opened.headers()["content-security-policy"], /sandbox/);
});

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
  }));
  assert.deepEqual(found, { hacked: undefined, images: [], scripts: 0, frames: 0 });
}
