// Asks SQL over the wire by node's `pg`: node pg.mjs FOLDER HOST PORT USER, with PGPASSWORD and questions as JSON on standard
// input, as tests/tools/drivers.py has them. FOLDER is where `just tools` has installed the driver.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [folder, host, port, user] = process.argv.slice(2);
const pg = createRequire(`${folder}/package.json`)("pg");
const questions = JSON.parse(readFileSync(0, "utf8"));
const client = new pg.Client({ host, port: Number(port), user, password: process.env.PGPASSWORD, database: "sluice" });
const text = (value) => {
  if (value === null) return null;
  if (value instanceof Date) return value.toISOString();
  if (Buffer.isBuffer(value)) return value.toString("hex");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};
const notices = [];
client.on("notice", (notice) => notices.push(notice.message));
const found = [];
try {
  await client.connect();
  for (const { sql, values = [], types = [] } of questions) {
    notices.length = 0;
    const given = values.map((value, at) => (types[at] === "bytes" && value !== null ? Buffer.from(value, "hex") : value));
    try {
      const { rows } = await client.query({ text: sql, values: given, rowMode: "array" });
      found.push({ rows: rows.map((row) => row.map(text)), notices: [...notices] });
    } catch (error) {
      found.push({ code: error.code, error: error.message });
    }
  }
  await client.end();
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
process.stdout.write(JSON.stringify(found));
