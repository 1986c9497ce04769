// Columns as the contract has them (`wit/v0.1/connector.wit`, interface `columns`): a reader of those that the host
// gives, and writers of those that it is given. Nothing here is particular to a network.
//
// Lists of numbers must be typed arrays of the list's type: componentize-js copies the memory behind them, and of a
// plain array whatever lies there.

const encoder = new TextEncoder();
const decoder = new TextDecoder();

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
  const texts = [];
  for (let row = 0; row + 1 < offsets.length; row++) {
    texts.push(isValid(valid, row) ? decoder.decode(bytes.subarray(offsets[row], offsets[row + 1])) : null);
  }
  return texts;
}

/** n + 1 rising offsets of n lists. */
function offsetsOf(lists) {
  const offsets = new Uint32Array(lists.length + 1);
  lists.forEach((list, row) => (offsets[row + 1] = offsets[row] + list.length));
  return offsets;
}

/** A text-column. */
export function texts(values) {
  const pieces = values.map((value) => encoder.encode(value ?? ""));
  const offsets = offsetsOf(pieces);
  const bytes = new Uint8Array(offsets[values.length]);
  pieces.forEach((piece, row) => bytes.set(piece, offsets[row]));
  return { offsets, bytes, valid: bitmap(values) };
}

/** A byte-column: booleans, or ordinals. */
export function bytes(values) {
  return { values: Uint8Array.from(values, Number), valid: bitmap(values) };
}

/** A money-column of millionths. */
export function money(values) {
  return { values: BigInt64Array.from(values, (micros) => micros ?? 0n), valid: bitmap(values) };
}

/** A time-column of `{ micros, basis }`. */
export function times(values) {
  return {
    values: BigInt64Array.from(values, (time) => time?.micros ?? 0n),
    bases: Uint8Array.from(values, (time) => time?.basis ?? 0),
    valid: bitmap(values),
  };
}

/** A map-column of objects; a null value is left out. */
export function pairs(rows) {
  const entries = rows.map((row) => Object.entries(row).filter(([, value]) => value !== null));
  return {
    offsets: offsetsOf(entries),
    keys: texts(entries.flat().map(([key]) => key)),
    values: texts(entries.flat().map(([, value]) => value)),
  };
}
