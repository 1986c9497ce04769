// Bodies and strings that want to be more than text.
import assert from "node:assert/strict";
import { accessible, settled, signIn, tokens, url, visit, withBrowser } from "./browser.mjs";

await withBrowser(async (page) => {
  await signIn(page, tokens.admin);
  await visit(page, "Transactions", "/transactions");
  await page.getByText("<img src=x onerror=").first().waitFor();
  await harmless(page);
  await page.getByRole("region", { name: "Transactions" }).getByRole("link").first().click();
  await settled(page);
  await harmless(page);
  await page.getByRole("link", { name: "The response it came from" }).last().click();
  await settled(page);
  const body = page.getByLabel("The body");
  await body.waitFor();
  // As large as it is, the first piece is shown, and more on demand.
  await page.getByText("so far").waitFor();
  const before = (await body.innerText()).length;
  await page.getByRole("button", { name: "Read on" }).click();
  await page.waitForFunction((before) => (document.querySelector(".body")?.textContent?.length ?? 0) > before, before);
  const text = await body.evaluate((element) => element.textContent);
  assert.ok(text.includes("<script>") && text.includes("⟨U+202E⟩") && text.includes("\u2401"), text.slice(0, 500));
  await harmless(page);
  await accessible(page, "a hostile body");

  await visit(page, "Connectors", "/connectors");
  await harmless(page);
  // Opened by itself, a body is no page.
  const digest = await page.evaluate(async () => {
    const headers = { Authorization: `Bearer ${sessionStorage.getItem("sluice-token")}`, "Content-Type": "application/json" };
    const query = "SELECT raw_object FROM raw.objects ORDER BY body_bytes DESC LIMIT 1";
    const answer = await fetch("/v1/sql", { method: "POST", headers, body: JSON.stringify({ query }) });
    return (await answer.json())[0].raw_object;
  });
  const opened = await page.request.get(`${url}/v1/raw/${digest}`, { headers: { Authorization: `Bearer ${tokens.admin}` } });
  assert.equal(opened.headers()["content-type"], "application/octet-stream");
  assert.match(opened.headers()["content-security-policy"], /sandbox/);
});

async function harmless(page) {
  const found = await page.evaluate(() => ({
    hacked: window.hacked,
    images: [...document.images].map(({ src }) => new URL(src).pathname).filter((path) => !path.startsWith("/assets/icon-")),
    scripts: [...document.scripts].filter(({ src }) => !new URL(src || "x:").pathname.startsWith("/assets/")).length,
    frames: document.querySelectorAll("iframe, object, embed").length,
  }));
  assert.deepEqual(found, { hacked: undefined, images: [], scripts: 0, frames: 0 });
}
