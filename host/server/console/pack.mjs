// Packs each file of `dist` with brotli, beside it, and fails if the page takes more than 60 kB over the wire.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

const MOST = 60_000;
const options = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };

const files = ["dist", "dist/assets"].flatMap((folder) => readdirSync(folder, { withFileTypes: true }).map((entry) => [folder, entry]));
let total = 0;
for (const [folder, entry] of files.filter(([, entry]) => entry.isFile() && !entry.name.endsWith(".br"))) {
  const path = join(folder, entry.name);
  const packed = brotliCompressSync(readFileSync(path), options);
  writeFileSync(`${path}.br`, packed);
  console.log(`${path}  ${packed.length}`);
  total += packed.length;
}
console.log(`the page: ${total} bytes of at most ${MOST}`);
if (total > MOST) {
  console.error(`error: the page has ${total} bytes after brotli, and may have ${MOST}`);
  process.exit(1);
}
