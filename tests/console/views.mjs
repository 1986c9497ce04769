// Drives each view as somebody who looks does.
import { photographed, signIn, tokens, url, withBrowser } from "./browser.mjs";
import { completeness, currencies, firstView, monthsBegin, overview, unattempted, vanished } from "./overview.mjs";
import { beside, runs, transactions } from "./responses.mjs";

await withBrowser(async (page) => {
  await page.goto(url);
  await page.getByLabel("Token").fill("sluice_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This token is not known.").waitFor();
  await photographed(page, "sign-in");

  await signIn(page, tokens.admin);
  await page.getByText("Live", { exact: true }).waitFor();
  await overview(page);
  await firstView(page);
  await currencies(page);
  await unattempted(page);
  await completeness(page);
  await vanished(page);
  await runs(page);
  await beside(page);
  await transactions(page);
  await monthsBegin(page);
});
