import { sql } from "./api";
import { literal } from "./format";

/** A table with its columns; none yet if they weren't asked for. */
export type Catalogue = Map<string, string[] | null>;

interface Column {
  table_schema: string;
  table_name: string;
  column_name: string;
}

/** Schemas whose columns every query may need. Native tables may have thousands: theirs are asked for by name. */
const OWN = ["unified", "meta", "raw"];

export async function catalogue(signal: AbortSignal): Promise<Catalogue> {
  const tables = await sql<Column>("SELECT table_schema, table_name FROM information_schema.tables ORDER BY 1, 2", signal);
  const found: Catalogue = new Map();
  for (const { table_schema, table_name } of tables.rows) {
    if (table_schema !== "information_schema") found.set(`${table_schema}.${table_name}`, null);
  }
  const own = OWN.map(literal).join(", ");
  const columns = await sql<Column>(
    `SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE table_schema IN (${own})`,
    signal,
  );
  for (const { table_schema, table_name, column_name } of columns.rows) add(found, `${table_schema}.${table_name}`, column_name);
  return found;
}

function add(found: Catalogue, table: string, column: string): void {
  found.set(table, [...(found.get(table) ?? []), column]);
}

/** Columns of native tables that a query names and that aren't known yet. */
export async function missingColumns(known: Catalogue, query: string): Promise<Catalogue | null> {
  const named = [...known].filter(([table, columns]) => columns === null && query.includes(table)).map(([table]) => table);
  if (named.length === 0) return null;
  const found: Catalogue = new Map(known);
  for (const table of named) {
    const [schema = "", name = ""] = table.split(".");
    const where = `table_schema = ${literal(schema)} AND table_name = ${literal(name)}`;
    const { rows } = await sql<Column>(`SELECT table_schema, table_name, column_name FROM information_schema.columns WHERE ${where}`);
    found.set(table, rows.map(({ column_name }) => column_name));
  }
  return found;
}

const WORDS = [
  "SELECT", "FROM", "WHERE", "GROUP BY ALL", "ORDER BY", "LIMIT", "JOIN", "LEFT JOIN", "HAVING", "count(*)", "sum(", "max(", "min(",
  "local_day(", "is_live(", "now()", "INTERVAL", "unified.as_of(", "unified.restatements(",
];
const MOST = 8;

/** What may stand where the word before the caret is, the likeliest first. */
export function completions(known: Catalogue, query: string, caret: number): { word: string; found: string[] } {
  const word = /[\w.]*$/.exec(query.slice(0, caret))?.[0] ?? "";
  if (word.length < 2) return { word, found: [] };
  const start = word.toLowerCase();
  // The schema without a name is `unified`.
  const isNamed = (table: string) => query.includes(table) || query.includes(table.replace(/^unified\./, ""));
  const columns = [...known].filter(([table]) => isNamed(table)).flatMap(([, columns]) => columns ?? []);
  const all = [...columns, ...known.keys(), ...WORDS];
  const matches = all.filter((one) => one.toLowerCase().startsWith(start) && one !== word);
  const within = all.filter((one) => one.includes(".") && one.split(".")[1]?.startsWith(start));
  return { word, found: [...new Set([...matches, ...within])].slice(0, MOST) };
}
