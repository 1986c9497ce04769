// A token that only reads: what it may not do says so, and a token that is removed ends the session.
import assert from "node:assert/strict";
import { settled, signIn, tokens, url, visit, withBrowser } from "./browser.mjs";

await withBrowser(async (page, context) => {
  await signIn(page, tokens.reader);
  await page.getByText("reader (read)").waitFor();
  await visit(page, "Connectors", "/connectors");
  const rollBack = page.getByRole("button", { name: "Roll back" }).first();
  assert.ok(await rollBack.isDisabled());
  assert.match(await rollBack.getAttribute("title"), /may read; this needs admin/);
  await visit(page, "Doubts and alarms", "/doubts");
  await page.getByRole("region", { name: "Doubts" }).getByRole("link").first().click();
  await settled(page);
  assert.ok(await page.getByRole("button", { name: /^Accept/ }).isDisabled());

  // Nothing that outlives the tab knows the token.
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage }) + document.cookie);
  assert.ok(!kept.includes(tokens.reader));
  const other = await context.newPage();
  await other.goto(`${url}/runs`);
  await other.getByLabel("Token").waitFor();
  await other.close();

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await refused(page);
});

/** A page that doesn't know the role offers what the server then refuses, by name. */
async function refused(page) {
  await page.route("**/v1/events", (route) => {
    const isStream = route.request().headers().accept === "text/event-stream";
    return isStream ? route.abort() : route.continue();
  });
  await signIn(page, tokens.reader);
  await visit(page, "Doubts and alarms", "/doubts");
  await page.getByRole("region", { name: "Doubts" }).getByRole("link").first().click();
  await settled(page);
  await page.getByRole("button", { name: /^Accept/ }).click();
  const alert = page.getByRole("alert");
  await alert.getByText("token `reader` may read, and this needs operate").waitFor();
  assert.match(await alert.innerText(), /^Not allowed: .*\s+use a token of that role$/);
}
