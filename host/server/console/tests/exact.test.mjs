// What `src/lib/exact.ts` makes of answers.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { transformWithEsbuild } from "vite";

const { code } = await transformWithEsbuild(readFileSync(new URL("../src/lib/exact.ts", import.meta.url), "utf8"), "exact.ts");
const { Exact, parseExact } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

test("decimals and long integers keep their digits, and no text becomes a number", () => {
  const texts = ["\ue0001.50", "\ue000", "1.50", "\\\"1.50"];
  const { amount, long, short, kept } = parseExact(`{"amount":123456789012345678.120,"long":-9007199254740993,"short":7,"kept":${JSON.stringify(texts)}}`);
  assert.ok(amount instanceof Exact && long instanceof Exact);
  assert.deepEqual([amount.text, long.text, short], ["123456789012345678.120", "-9007199254740993", 7]);
  assert.deepEqual(kept, texts);
  assert.deepEqual(parseExact('["\\ue0002.5"]'), ["\ue0002.5"], "nor one that is written with an escape");
});
