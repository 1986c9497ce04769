// A browser with a page of the console, and what the scenarios share.
import assert from "node:assert/strict";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, existsSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

const required = (name) => process.env[name] ?? assert.fail(`the environment has no ${name}`);
const require = createRequire(join(required("SLUICE_BROWSER_TOOLS"), "package.json"));
const { chromium } = require("playwright-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const url = required("SLUICE_URL");
export const tokens = { admin: required("SLUICE_ADMIN"), reader: required("SLUICE_READER") };

const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const ARGUMENTS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
];
/** How long something may take that has to come: a query of an unoptimised build, on a busy machine. */
const PATIENCE_MS = 60_000;

/** Runs a scenario in a browser of its own. What the page logs as an error, or asks of another host, fails it. */
export async function withBrowser(act) {
  const profile = mkdtempSync(join(tmpdir(), "sluice-browser-"));
  const executablePath = BROWSERS.find((path) => existsSync(path)) ?? assert.fail("no Chromium: run `just tools`");
  const context = await chromium.launchPersistentContext(profile, {
    executablePath, args: ARGUMENTS, headless: true, viewport: { width: 1280, height: 800 }, colorScheme: "light",
    reducedMotion: "reduce", timezoneId: "Europe/Berlin", locale: "en-GB", acceptDownloads: true,
  });
  const faults = [];
  try {
    context.setDefaultTimeout(PATIENCE_MS);
    const page = context.pages()[0] ?? (await context.newPage());
    page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
    page.on("dialog", (dialog) => {
      faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("console", (message) => {
      // A response that isn't 2xx is logged too: the scenarios judge these by what the page shows.
      const isAnswer = message.text().startsWith("Failed to load resource");
      if (message.type() === "error" && !isAnswer) faults.push(`log: ${message.text()}`);
    });
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (origin !== new URL(url).origin && protocol !== "blob:" && protocol !== "data:") faults.push(`asked ${request.url()}`);
    });
    await act(page, context);
    assert.deepEqual(faults, [], "the page did what it may not");
  } catch (error) {
    const page = context.pages()[0];
    const text = await page?.locator("body").innerText({ timeout: 1_000 }).catch(() => "");
    console.error(`${error.stack}\n\nat ${page?.url()}\n${faults.join("\n")}\n\n${text?.slice(0, 4_000)}`);
    process.exitCode = 1;
  } finally {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

/** Signs in as a person does. */
export async function signIn(page, token) {
  await page.goto(url);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation").waitFor();
}

/** Goes to a view by its link, and waits until nothing of it loads any more. */
export async function visit(page, name, path) {
  await page.getByRole("navigation").getByRole("link", { name, exact: true }).click();
  assert.equal(new URL(page.url()).pathname, path);
  await settled(page);
}

/** Waits until nothing loads any more: also what the last action has only just begun. */
export async function settled(page) {
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)))));
  await page.locator(".skeleton").first().waitFor({ state: "detached" });
  await page.locator('[aria-busy="true"]').first().waitFor({ state: "detached" });
}

/** Calls the API as a program does. */
export async function ask(path, body) {
  const headers = { Authorization: `Bearer ${tokens.admin}`, "Content-Type": "application/json" };
  const answer = await fetch(`${url}${path}`, { headers, ...(body ? { method: "POST", body: JSON.stringify(body) } : {}) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.json();
}

export const sql = (query) => ask("/v1/sql", { query });

/** The texts of a table's cells, by row. */
export async function cells(page, name) {
  const rows = page.getByRole("region", { name, exact: true }).locator("tbody tr");
  return rows.evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim())));
}

/** Moments as they are shown to people in Berlin: theirs, and UTC; with how long ago, and as the ends of a window. */
const MOMENT = String.raw`\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d)?)?`;
export const ago = new RegExp(String.raw`^(just now|.+ ago|yesterday), ${MOMENT} (\d{4}-\d\d-\d\d )?\d\d:\d\d UTC$`);
export const span = new RegExp(String.raw`^${MOMENT} – ${MOMENT}\s+${MOMENT} – ${MOMENT} UTC$`);

/** What axe finds that keeps people out. */
export async function accessible(page, name) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
  const found = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${name}: ${id}: ${nodes.slice(0, 3).map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("; ")}`);
  assert.deepEqual(found, []);
}

/** A view is no wider than its window. */
export async function fits(page, name) {
  await settled(page);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wide <= 0, `${name} is ${wide} pixels too wide`);
}

/** Pictures of a view at two widths, in light and dark, and what axe says of each. */
export async function photographed(page, name) {
  const folder = required("SLUICE_SHOTS");
  mkdirSync(folder, { recursive: true });
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, height] of [[1280, 800], [390, 844]]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.setViewportSize({ width, height });
      await fits(page, `${name} at ${width}`);
      await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`), animations: "disabled" });
      // Colours don't depend on the width.
      if (width === 1280 || colorScheme === "light") await accessible(page, `${name} at ${width} in ${colorScheme}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize({ width: 1280, height: 800 });
}
