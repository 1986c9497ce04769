// States that are made on purpose: nothing there, no right, no answer. The lake is empty.
import assert from "node:assert/strict";
import { accessible, settled, signIn, tokens, url, visit, withBrowser } from "./browser.mjs";

/** Views, and what each says of a lake without anything. */
const EMPTY = [
  ["Overview", "/", ["No transactions in the last 90 days.", "Nothing is owed: all that is approved is paid.", "Nothing changed since yesterday."]],
  ["Completeness", "/completeness", ["Nothing was read yet. The schedule reads what is due; `sluice backfill` reads history."]],
  ["Runs", "/runs", ["No service has a run in flight.", "No such run. `sluice run NETWORK` begins one, and so does the schedule."]],
  ["Transactions", "/transactions", ["No transaction was read yet."]],
  ["Connectors", "/connectors", ["The connectors folder is empty: copy a `.wasm` file into it."]],
  ["Doubts and alarms", "/doubts", ["No answer is held back."]],
  ["Settings", "/settings", ["No network is set up: add networks/NAME.json."]],
];
/** Calls of the API, but those of the stream that tells who the token is. */
const CALLS = /\/v1\/(?!events)/;

await withBrowser(async (page) => {
  await away(page);
  await signIn(page, tokens.admin);
  await page.getByText("Live", { exact: true }).waitFor();
  await empty(page);
  await unknown(page);
  await forbidden(page);
  await unreachable(page);
});

async function empty(page) {
  for (const [name, path, texts] of EMPTY) {
    await visit(page, name, path);
    assert.equal(await page.getByRole("alert").count(), 0, `${name} fails`);
    for (const text of texts) await page.getByText(text).first().waitFor();
    await accessible(page, `${name} of an empty lake`);
  }
}

/** What a URL names and isn't there. */
async function unknown(page) {
  for (const [path, text] of [
    ["/nothing", "There is no page at /nothing."],
    ["/runs/none", "No run none has ended."],
    ["/runs/none/requests/one", "No response of this request is kept."],
    ["/connectors/none", "There is no connector none."],
    ["/doubts/alarm/none", "There is no alarm none."],
  ]) {
    await page.goto(url + path);
    await settled(page);
    await page.getByText(text).waitFor();
  }
  for (const path of ["/transactions/none", "/doubts/none"]) {
    await page.goto(url + path);
    await settled(page);
    await page.getByRole("alert").first().waitFor();
  }
}

/** A right that is missing is no fault: it says which one, and offers no other try. */
async function forbidden(page) {
  const body = JSON.stringify({ error: "`reader` has no role", hint: "give it a role at the issuer", causes: [] });
  await page.route(CALLS, (route) => route.fulfill({ status: 403, contentType: "application/json", body }));
  for (const [name, path] of EMPTY) {
    await visit(page, name, path);
    const alert = page.getByRole("alert").first();
    assert.match(await alert.innerText(), /^Not allowed: `reader` has no role\s+give it a role at the issuer$/, name);
    assert.equal(await page.getByRole("button", { name: "Try again" }).count(), 0, name);
  }
  await accessible(page, "no rights");
  await page.unroute(CALLS);
}

/** A server that is away: each view says so, and comes back. */
async function unreachable(page) {
  await page.route(CALLS, (route) => route.abort("connectionrefused"));
  for (const [name, path] of EMPTY) {
    await visit(page, name, path);
    await page.getByRole("alert").first().getByText("the server cannot be reached").waitFor();
  }
  await visit(page, "Transactions", "/transactions");
  await accessible(page, "a server that is away");
  await page.unroute(CALLS);
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("No transaction was read yet.").waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  // One part that fails leaves the others.
  await page.route("**/v1/alarms/open", (route) => route.fulfill({ status: 503, contentType: "application/json", body: '{"error":"the state store is away"}' }));
  await visit(page, "Overview", "/");
  await page.getByRole("alert").getByText("the state store is away").waitFor();
  await page.getByText("No answer is held back.").waitFor();
}

/** Who can't reach the server can't sign in, and reads why. */
async function away(page) {
  await page.goto(url);
  await page.route("**/v1/**", (route) => route.abort("connectionrefused"));
  await page.getByLabel("Token").fill(tokens.admin);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").getByText("the server cannot be reached").waitFor();
  await page.unroute("**/v1/**");
}
