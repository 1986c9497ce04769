// Bodies of networks: only ever text. Nothing here makes markup.

export type BodyKind = "json" | "xml" | "csv" | "text";

/** What a body seems to be, by how it begins. */
export function kindOf(text: string): BodyKind {
  const start = text.trimStart();
  if (start.startsWith("{") || start.startsWith("[")) return "json";
  if (start.startsWith("<")) return "xml";
  const [first = "", second = ""] = start.split("\n", 2);
  const isTable = [",", ";", "\t", "|"].some((mark) => first.includes(mark) && second.split(mark).length === first.split(mark).length);
  return isTable ? "csv" : "text";
}

/** JSON with an entry per line. Strings stay as they are written, numbers with all digits; what is no JSON stays too. */
export function prettyJson(text: string): string {
  let out = "";
  let depth = 0;
  const line = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\[^][^"\\]*)*"?|[{}[\],:]|[^\s{}[\],:"]+/g)) {
    if (token === "{" || token === "[") {
      depth++;
      out += token + line();
    } else if (token === "}" || token === "]") {
      depth = Math.max(0, depth - 1);
      out = /[{[]\s*$/.test(out.slice(-90)) ? out.trimEnd() + token : out + line() + token;
    } else if (token === ",") out += token + line();
    else out += token === ":" ? ": " : token;
  }
  return out;
}

/** XML with an element per line. Text stays as it is. */
export function prettyXml(text: string): string {
  let out = "";
  let depth = 0;
  let before = "";
  for (const [token] of text.matchAll(/<!--[^]*?-->|<!\[CDATA\[[^]*?\]\]>|<[^>]*>?|[^<]+/g)) {
    if (!token.startsWith("<") && token.trim() === "") continue;
    const isEnd = token.startsWith("</");
    if (isEnd) depth = Math.max(0, depth - 1);
    const isOfText = (isEnd && before === "text") || (!token.startsWith("<") && before === "start");
    out += isOfText || out === "" ? token : `\n${"  ".repeat(Math.min(depth, 40))}${token}`;
    const isStart = /^<[^/?!]/.test(token) && !token.endsWith("/>");
    if (isStart) depth++;
    before = isStart ? "start" : token.startsWith("<") ? "end" : before === "start" ? "text" : "other";
  }
  return out;
}

/** Rows of a table of characters, quotes as RFC 4180 has them; the separator is what the first line holds most of. */
export function parseCsv(text: string, mostRows: number): string[][] {
  const [first = ""] = text.split("\n", 1);
  const separator = [",", ";", "\t", "|"].reduce((best, one) => (first.split(one).length > first.split(best).length ? one : best));
  const rows: string[][] = [];
  let row: string[] = [];
  let field = "";
  let isQuoted = false;
  for (let at = 0; at < text.length && rows.length < mostRows; at++) {
    const character = text[at] as string;
    if (isQuoted) {
      if (character !== '"') field += character;
      else if (text[at + 1] === '"') field += text[++at];
      else isQuoted = false;
    } else if (character === '"' && field === "") isQuoted = true;
    else if (character === separator || character === "\n") {
      row.push(field.replace(/\r$/, ""));
      field = "";
      if (character === "\n") {
        rows.push(row);
        row = [];
      }
    } else field += character;
  }
  if ((field !== "" || row.length > 0) && rows.length < mostRows) rows.push([...row, field]);
  return rows;
}
