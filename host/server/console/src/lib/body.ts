// Bodies of networks: only ever text. Nothing here makes markup, and nothing takes longer than a body's length.

export type BodyKind = "json" | "xml" | "csv" | "text";

/** Characters that a body may have once it is laid out: depth makes them many times those of the body. */
export const MAX_LAID_OUT = 4_000_000;

const MARKS: [string, number[]][] = [
  ["utf-8", [0xef, 0xbb, 0xbf]],
  ["utf-16be", [0xfe, 0xff]],
  ["utf-16le", [0xff, 0xfe]],
];

/**
 * A body's text, and what it is encoded in: by the mark that it begins with, else as its type declares, else UTF-8 if it is
 * valid, else windows-1252, in which every byte is a character.
 */
export function decode(bytes: Uint8Array, type: string | undefined, isWhole: boolean): { text: string; encoding: string } {
  const marked = MARKS.find(([, mark]) => mark.every((byte, at) => bytes[at] === byte))?.[0];
  const declared = /;\s*charset\s*=\s*["']?([^\s;"']+)/i.exec(type ?? "")?.[1];
  for (const encoding of [marked, declared, "utf-8"]) {
    try {
      // What nothing but the bytes speaks for has to be valid.
      const decoder = encoding && new TextDecoder(encoding, { fatal: encoding !== marked && encoding !== declared });
      if (decoder) return { text: decoder.decode(bytes, { stream: !isWhole }), encoding: decoder.encoding };
    } catch {
      // No such encoding, or another one.
    }
  }
  return { text: new TextDecoder("windows-1252").decode(bytes), encoding: "windows-1252" };
}

/** What a body seems to be, by how it begins. */
export function kindOf(text: string): BodyKind {
  const start = text.trimStart();
  if (start.startsWith("{") || start.startsWith("[")) return "json";
  if (start.startsWith("<")) return "xml";
  const [first = "", second = ""] = start.split("\n", 2);
  const isTable = [",", ";", "\t", "|"].some((mark) => first.includes(mark) && second.split(mark).length === first.split(mark).length);
  return isTable ? "csv" : "text";
}

/** Lines that are indented, until there are too many characters. */
class Lines {
  readonly parts: string[] = [];
  size = 0;
  depth = 0;

  add(...texts: string[]): boolean {
    for (const text of texts) {
      this.parts.push(text);
      this.size += text.length;
    }
    return this.size <= MAX_LAID_OUT;
  }

  line = () => `\n${"  ".repeat(Math.min(this.depth, 40))}`;
  end = () => void (this.depth = Math.max(0, this.depth - 1));
}

/**
 * JSON with an entry per line; none if that is too long. Strings stay as they are written, numbers with all digits; what is
 * no JSON stays too.
 */
export function prettyJson(text: string): string | null {
  const out = new Lines();
  // The line that the token before begins, unless a bracket closes on it.
  let begun = "";
  let isOpened = false;
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\[^][^"\\]*)*"?|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    const opens = token === "{" || token === "[";
    if (token === "}" || token === "]") {
      out.end();
      begun = isOpened ? "" : begun + out.line();
    }
    if (opens) out.depth++;
    if (!out.add(begun, token === ":" ? ": " : token)) return null;
    begun = opens || token === "," ? out.line() : "";
    isOpened = opens;
  }
  out.add(begun);
  return out.parts.join("");
}

/** Tokens of XML: comments, CDATA, tags and texts. What doesn't end is a tag, or ends with the text. */
function* xmlTokens(text: string): Iterable<string> {
  // Marks that the rest lacks: none is looked for twice.
  const missing = new Set<string>();
  const past = (mark: string, from: number): number => {
    const found = missing.has(mark) ? -1 : text.indexOf(mark, from);
    if (found < 0) missing.add(mark);
    return found < 0 ? 0 : found + mark.length;
  };
  for (let at = 0, end = 0; at < text.length; at = end) {
    end = 0;
    if (text[at] !== "<") end = past("<", at) - 1;
    else {
      if (text.startsWith("<!--", at)) end = past("-->", at + 4);
      else if (text.startsWith("<![CDATA[", at)) end = past("]]>", at + 9);
      end ||= past(">", at);
    }
    if (end <= 0) end = text.length;
    yield text.slice(at, end);
  }
}

/** XML with an element per line; none if that is too long. Text stays as it is. */
export function prettyXml(text: string): string | null {
  const out = new Lines();
  let before = "";
  for (const token of xmlTokens(text)) {
    const isTag = token[0] === "<";
    if (!isTag && token.trim() === "") continue;
    const isEnd = token.startsWith("</");
    if (isEnd) out.end();
    const isOfText = (isEnd && before === "text") || (!isTag && before === "start");
    if (!out.add(isOfText || out.size === 0 ? "" : out.line(), token)) return null;
    const isStart = isTag && /^<[^/?!]/.test(token) && !token.endsWith("/>");
    if (isStart) out.depth++;
    before = isStart ? "start" : isTag ? "end" : before === "start" ? "text" : "other";
  }
  return out.parts.join("");
}

/** Cells of a table that are shown. */
export const MAX_CELLS = 20_000;

/**
 * Rows of a table of characters, quotes as RFC 4180 has them; the separator is what the first line holds most of. It ends after
 * so many rows, or so many cells.
 */
export function parseCsv(text: string, mostRows: number): { rows: string[][]; isCut: boolean } {
  const [first = ""] = text.split("\n", 1);
  const separator = [",", ";", "\t", "|"].reduce((best, one) => (first.split(one).length > first.split(best).length ? one : best));
  const rows: string[][] = [];
  let row: string[] = [];
  let field = "";
  let isQuoted = false;
  let left = MAX_CELLS;
  const take = () => {
    row.push(field.replace(/\r$/, ""));
    field = "";
    left--;
  };
  let at = 0;
  for (; at < text.length && rows.length < mostRows && left > 0; at++) {
    const character = text[at] as string;
    if (isQuoted) {
      if (character !== '"') field += character;
      else if (text[at + 1] === '"') field += text[++at];
      else isQuoted = false;
    } else if (character === '"' && field === "") isQuoted = true;
    else if (character === separator || character === "\n") {
      take();
      if (character === "\n") {
        rows.push(row);
        row = [];
      }
    } else field += character;
  }
  const isCut = at < text.length;
  if (!isCut && (field !== "" || row.length > 0)) take();
  if (row.length > 0) rows.push(row);
  return { rows, isCut };
}
