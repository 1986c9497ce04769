// How Papercup's sales become unified transactions.

import { bytes, money, pairs, texts, times } from "./columns.js";
import { parseMoney, parseTime } from "./values.js";

/** Paths of the fields that mapping wants, in the order in which the host gives them. */
export const INPUTS = [
  "id", "kind", "state", "reason", "order", "refund_of",
  "shop.id", "shop.name", "property.id", "property.name",
  "clicked_at", "sold_at", "booked_at", "changed_at", "decided_at", "paid_at",
  "amount", "commission", "currency",
  "ref", "ref2", "click", "voucher", "device", "country", "payout",
];

/** Types of native columns: money is exact, and ids stay text whatever they look like. */
export function pins() {
  const kinds = { amount: "decimal", commission: "decimal" };
  return INPUTS.map((path) => ({ path, kind: kinds[path] ?? "text" }));
}

/** Status words and what they mean. */
export const STATUSES = [
  { token: "open", validation: "pending", payment: "unpaid", locked: null },
  { token: "confirmed", validation: "approved", payment: "unpaid", locked: null },
  { token: "settled", validation: "approved", payment: "paid", locked: true },
  { token: "void", validation: "declined", payment: "unpaid", locked: null },
];
const UNKNOWN = { validation: "unknown", payment: "unknown", locked: null };

// Cases of the contract's enums: a byte-column has their ordinals.
const KINDS = ["sale", "lead", "click", "bonus", "adjustment", "line-item", "event"];
const VALIDATIONS = ["pending", "approved", "declined", "unknown"];
const PAYMENTS = ["unpaid", "payable", "paid", "clawed-back", "unknown"];
const KIND_OF = { lead: "lead", bonus: "bonus", refund: "adjustment" };

class BadRow extends Error {}

/** What `map-response` returns, of a list of texts per input. */
export function mapRecords(inputs) {
  const [rows, rejects, unknown] = [[], [], new Set()];
  for (let record = 0; record < inputs[0].length; record++) {
    const fields = Object.fromEntries(INPUTS.map((path, at) => [path, inputs[at][record] || null]));
    try {
      rows.push({ ...mapRow(fields), record });
    } catch (error) {
      // Anything else is a fault of this connector, and the host shall see it.
      if (!(error instanceof BadRow)) throw error;
      rejects.push({ record, reason: error.message });
      continue;
    }
    if (fields.state !== null && !statusOf(fields.state)) unknown.add(fields.state);
  }
  return {
    transactions: rows.length > 0 ? transactions(rows) : null,
    native: [],
    rejects,
    unknownStatuses: [...unknown],
  };
}

function statusOf(token) {
  return STATUSES.find((status) => status.token === token);
}

function mapRow(fields) {
  const read = (path, parse, what) => {
    if (fields[path] === null) return null;
    const value = parse(fields[path]);
    if (value === null) throw new BadRow(`\`${path}\` is no ${what}: ${fields[path].slice(0, 80)}`);
    return value;
  };
  for (const path of ["id", "sold_at"]) {
    if (fields[path] === null) throw new BadRow(`\`${path}\` is missing`);
  }
  const time = (path) => read(path, parseTime, "time");
  const amount = (path) => read(path, parseMoney, "amount");
  return {
    fields,
    status: statusOf(fields.state) ?? UNKNOWN,
    kind: KIND_OF[fields.kind] ?? "sale",
    currency: read("currency", (code) => (/^[A-Z]{3}$/.test(code) ? code : null), "currency"),
    soldAt: time("sold_at"),
    clickedAt: time("clicked_at"),
    bookedAt: time("booked_at"),
    changedAt: time("changed_at"),
    decidedAt: time("decided_at"),
    paidAt: time("paid_at"),
    amount: amount("amount"),
    commission: amount("commission"),
  };
}

/** The contract's record; null is a column that Papercup doesn't offer. */
function transactions(rows) {
  const field = (path) => texts(rows.map((row) => row.fields[path]));
  const ordinals = (cases, of) => bytes(rows.map((row) => cases.indexOf(of(row))));
  const currency = texts(rows.map((row) => row.currency));
  return {
    records: Uint32Array.from(rows, (row) => row.record),
    timezone: "UTC",
    timezoneBasis: "offset",
    transactionId: field("id"),
    idBasis: "native",
    kind: ordinals(KINDS, (row) => row.kind),
    validationStatus: ordinals(VALIDATIONS, (row) => row.status.validation),
    paymentStatus: ordinals(PAYMENTS, (row) => row.status.payment),
    isLocked: bytes(rows.map((row) => row.status.locked)),
    statusRaw: field("state"),
    paymentStatusRaw: null,
    reasonRaw: field("reason"),
    parentTransactionId: field("refund_of"),
    groupKey: null,
    orderId: field("order"),
    advertiserId: field("shop.id"),
    advertiserName: field("shop.name"),
    siteId: field("property.id"),
    siteName: field("property.name"),
    transactedAt: times(rows.map((row) => row.soldAt)),
    clickedAt: times(rows.map((row) => row.clickedAt)),
    recordedAt: times(rows.map((row) => row.bookedAt)),
    modifiedAt: times(rows.map((row) => row.changedAt)),
    validatedAt: times(rows.map((row) => row.decidedAt)),
    reversedAt: null,
    locksAt: null,
    payableAt: null,
    paidAt: times(rows.map((row) => row.paidAt)),
    saleAmount: money(rows.map((row) => row.amount)),
    saleCurrency: currency,
    commissionAmount: money(rows.map((row) => row.commission)),
    commissionCurrency: currency,
    originalSaleAmount: null,
    originalCommissionAmount: null,
    amountsReported: null,
    subIds: pairs(rows.map(({ fields }) => ({ ref: fields.ref, ref2: fields.ref2 }))),
    clickId: field("click"),
    voucherCode: field("voucher"),
    device: field("device"),
    customerCountry: field("country"),
    commissionGroup: null,
    paymentId: field("payout"),
  };
}
