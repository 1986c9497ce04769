// Columns as the contract has them (`wit/v0.1/connector.wit`, interface `columns`): a reader of those that the host
// gives, and writers of those that it is given. Nothing here is particular to a network.

// QuickJS has no TextEncoder: UTF-8 by way of percent-encoding.
const encode = (text) => Uint8Array.from(unescape(encodeURIComponent(text)), (char) => char.charCodeAt(0));
const decode = (utf8) => decodeURIComponent(escape(Array.from(utf8, (byte) => String.fromCharCode(byte)).join("")));
const ZERO = 0n;

/** Whether a bitmap says that a row is there: least significant bit first; an empty bitmap says that all are. */
const isValid = (bitmap, row) => bitmap.length === 0 || ((bitmap[row >> 3] >> (row & 7)) & 1) === 1;

/** The bitmap of values, of which null stands for what isn't there. */
function bitmap(values) {
  if (!values.includes(null)) return new Uint8Array();
  const bits = new Uint8Array(Math.ceil(values.length / 8));
  values.forEach((value, row) => {
    if (value !== null) bits[row >> 3] |= 1 << (row & 7);
  });
  return bits;
}

/** The texts of a text-column, null where a row has none. */
export function readTexts({ offsets, bytes, valid }) {
  const utf8 = Uint8Array.from(bytes);
  const texts = [];
  for (let row = 0; row + 1 < offsets.length; row++) {
    texts.push(isValid(valid, row) ? decode(utf8.subarray(offsets[row], offsets[row + 1])) : null);
  }
  return texts;
}

/** A text-column. */
export function texts(values) {
  const pieces = values.map((value) => encode(value ?? ""));
  const offsets = [0];
  for (const piece of pieces) offsets.push(offsets.at(-1) + piece.length);
  const bytes = new Uint8Array(offsets.at(-1));
  pieces.forEach((piece, row) => bytes.set(piece, offsets[row]));
  return { offsets, bytes, valid: bitmap(values) };
}

/** A byte-column: booleans, or ordinals. */
export function bytes(values) {
  return { values: Uint8Array.from(values, Number), valid: bitmap(values) };
}

/** A money-column of millionths. */
export function money(values) {
  return { values: values.map((micros) => micros ?? ZERO), valid: bitmap(values) };
}

/** A time-column of `{ micros, basis }`. */
export function times(values) {
  return {
    values: values.map((time) => time?.micros ?? ZERO),
    bases: Uint8Array.from(values, (time) => time?.basis ?? 0),
    valid: bitmap(values),
  };
}

/** A map-column of objects; a null value is left out. */
export function pairs(rows) {
  const entries = rows.map((row) => Object.entries(row).filter(([, value]) => value !== null));
  const offsets = [0];
  for (const row of entries) offsets.push(offsets.at(-1) + row.length);
  return {
    offsets,
    keys: texts(entries.flat().map(([key]) => key)),
    values: texts(entries.flat().map(([, value]) => value)),
  };
}
