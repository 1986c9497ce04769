// Fails if the page takes more than 60 kB over the wire: what `dist` holds, each file as brotli packs it.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const MOST = 60_000;
const options = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };

const files = readdirSync("dist", { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
const sizes = files.map((entry) => {
  const path = join(entry.parentPath ?? entry.path, entry.name);
  return [path, brotliCompressSync(readFileSync(path), options).length];
});
const total = sizes.reduce((sum, [, size]) => sum + size, 0);
for (const [path, size] of sizes) console.log(`${path}  ${size}`);
console.log(`the page: ${total} bytes of at most ${MOST}`);
if (total > MOST) {
  console.error(`error: the page has ${total} bytes after brotli, and may have ${MOST}`);
  process.exit(1);
}
