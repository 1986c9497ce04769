// Decides, asks and pauses as an operator does.
import { signIn, tokens, withBrowser } from "./browser.mjs";
import { connectors, doubts } from "./decisions.mjs";
import { keyboard, query, settings } from "./tools.mjs";

await withBrowser(async (page) => {
  await signIn(page, tokens.admin);
  await connectors(page);
  await doubts(page);
  await query(page);
  await settings(page);
  await keyboard(page);
});
