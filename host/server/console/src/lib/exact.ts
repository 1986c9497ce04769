/** A number with more digits than a double holds, as it came. Amounts of money are never made a double but to be drawn. */
export class Exact {
  constructor(readonly text: string) {}

  toString(): string {
    return this.text;
  }
}

/** What begins a text that stands for a number: no network can know it. */
const MARK = `\ue000${Math.random()}`;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** Parses JSON. Decimals and long integers become `Exact`. */
export function parseExact(text: string): unknown {
  const mark = (token: string) =>
    token[0] !== '"' && (token.includes(".") || token.length > 15) ? `"${MARK}${token}"` : token;
  const revive = (_: string, value: unknown) =>
    typeof value === "string" && value.startsWith(MARK) ? new Exact(value.slice(MARK.length)) : value;
  return JSON.parse(text.replace(TOKENS, mark), revive);
}

/** An amount or count as it comes from SQL. */
export type Numeric = Exact | number | null | undefined;

/** Only to draw or compare: digits may be lost. */
export function toNumber(value: Numeric): number {
  return value == null ? 0 : Number(value.toString());
}
