// What `src/lib/body.ts` makes of bodies.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { transformWithEsbuild } from "vite";

const { code } = await transformWithEsbuild(readFileSync(new URL("../src/lib/body.ts", import.meta.url), "utf8"), "body.ts");
const body = await import(`data:text/javascript,${encodeURIComponent(code)}`);

test("a body is decoded by its mark, its type, as UTF-8, or byte by byte", () => {
  const decoded = (bytes, type, isWhole = true) => Object.values(body.decode(Uint8Array.from(bytes), type, isWhole));
  const utf16 = [...Buffer.from("\ufeffé,1", "utf16le")];
  assert.deepEqual(decoded(utf16, "text/csv; charset=utf-8"), ["é,1", "utf-16le"]);
  assert.deepEqual(decoded(Buffer.from(utf16).swap16()), ["é,1", "utf-16be"]);
  assert.deepEqual(decoded([0xef, 0xbb, 0xbf, 0x61], "text/csv"), ["a", "utf-8"]);
  assert.deepEqual(decoded([0xe9, 0xa4], 'text/csv; Charset="ISO-8859-15"; header=present'), ["é€", "iso-8859-15"]);
  assert.deepEqual(decoded([0xe9], "text/csv; charset=no-such"), ["é", "windows-1252"]);
  assert.deepEqual(decoded([0xc3, 0xa9], undefined), ["é", "utf-8"]);
  assert.deepEqual(decoded([0x61, 0xc3], undefined, false), ["a", "utf-8"], "a character that a piece cuts isn't invalid");
  assert.deepEqual(decoded([0x61, 0xc3], undefined), ["aÃ", "windows-1252"]);
  assert.deepEqual(decoded([], undefined), ["", "utf-8"]);
});

test("json has an entry per line, with strings and digits as they are written", () => {
  const text = '{"a":[1.50,{}],"b":"x\\"{ ,","c":[ ]}';
  assert.equal(body.prettyJson(text), '{\n  "a": [\n    1.50,\n    {}\n  ],\n  "b": "x\\"{ ,",\n  "c": []\n}');
  assert.equal(body.prettyJson('{"a":1}]'), '{\n  "a": 1\n}\n]');
  assert.equal(body.prettyJson("[1,"), "[\n  1,\n  ");
});

test("xml has an element per line, with texts, comments and CDATA as they are", () => {
  const text = "<?xml?><a><!-- <b> --><c>text</c> <d/><e><![CDATA[<x>]]></e></a>";
  assert.equal(
    body.prettyXml(text),
    "<?xml?>\n<a>\n  <!-- <b> -->\n  <c>text</c>\n  <d/>\n  <e>\n    <![CDATA[<x>]]>\n  </e>\n</a>",
  );
  assert.equal(body.prettyXml("<a><!-- no end>x"), "<a>\n  <!-- no end>\n  x");
});

test("what would be many times its length isn't laid out", () => {
  assert.equal(body.prettyJson("[".repeat(1_900_000)), null);
  assert.equal(body.prettyXml("<a>".repeat(600_000)), null);
});

test("a table ends after so many rows and so many cells", () => {
  const table = 'a;b\r\n"1;""x""\n";2\r\n3;4';
  assert.deepEqual(body.parseCsv(table, 3), { rows: [["a", "b"], ['1;"x"\n', "2"], ["3", "4"]], isCut: false });
  assert.deepEqual(body.parseCsv(table, 2), { rows: [["a", "b"], ['1;"x"\n', "2"]], isCut: true });
  const { rows, isCut } = body.parseCsv("x,".repeat(15_000) + "\n" + "1,".repeat(15_000), 501);
  assert.deepEqual([rows.map((row) => row.length), isCut], [[15_001, 4_999], true]);
});

test("a body takes as long as it is", { timeout: 20_000 }, () => {
  for (const unit of ["{},", "[],", '"\\n', ",", ":"]) assert.ok(body.prettyJson(unit.repeat(1_900_000 / unit.length)).length >= 1_899_000);
  for (const unit of ["<!--", "<!-->", "<![CDATA[", "<", "<a/>"]) {
    assert.ok(body.prettyXml(unit.repeat(1_900_000 / unit.length)).length >= 1_899_000);
  }
});
