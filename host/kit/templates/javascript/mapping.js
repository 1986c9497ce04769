// How Brightlink's sales become unified transactions.

import { bytes, money, pairs, texts, times } from "./columns.js";
import { parseMoney, parseTime } from "./values.js";

/** Paths of the fields that mapping wants, in the order in which the host gives them. */
export const INPUTS = ["id", "state", "shop.id", "shop.name", "sold_at", "amount", "commission", "currency", "ref"];

/** Types of native columns: money is exact. */
export function pins() {
  return ["amount", "commission"].map((path) => ({ path, kind: "decimal" }));
}

/** Status words and what they mean. */
export const STATUSES = [
  { token: "open", validation: "pending", payment: "unpaid", locked: null },
  { token: "confirmed", validation: "approved", payment: "unpaid", locked: null },
  { token: "paid", validation: "approved", payment: "paid", locked: null },
  { token: "cancelled", validation: "declined", payment: "unpaid", locked: null },
];
const UNKNOWN = { validation: "unknown", payment: "unknown" };

// Cases of the contract's enums: a byte-column has their ordinals.
const SALE = 0;
const VALIDATIONS = ["pending", "approved", "declined", "unknown"];
const PAYMENTS = ["unpaid", "payable", "paid", "clawed-back", "unknown"];

/** What networks write where there is no date. */
const NO_DATES = ["0000-00-00", "1970-01-01", "0001-01-01"];

class BadRow extends Error {}

/** What `map-response` returns, of a list of texts per input. */
export function mapRecords(inputs) {
  const [rows, rejects, unknown] = [[], [], new Set()];
  for (let record = 0; record < inputs[0].length; record++) {
    const fields = Object.fromEntries(INPUTS.map((path, at) => [path, inputs[at][record]?.trim() || null]));
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
    if (value === null) throw new BadRow(`\`${path}\`: \`${fields[path].slice(0, 80)}\` is no ${what}`);
    return value;
  };
  if (NO_DATES.some((none) => fields.sold_at?.startsWith(none))) fields.sold_at = null;
  for (const path of ["id", "sold_at"]) {
    if (fields[path] === null) throw new BadRow(`\`${path}\` is missing`);
  }
  return {
    fields,
    status: statusOf(fields.state) ?? UNKNOWN,
    soldAt: read("sold_at", parseTime, "time"),
    amount: read("amount", parseMoney, "amount"),
    commission: read("commission", parseMoney, "amount"),
  };
}

/** The contract's record; null is a column that Brightlink doesn't offer. */
function transactions(rows) {
  const field = (path) => texts(rows.map((row) => row.fields[path]));
  const ordinals = (cases, of) => bytes(rows.map((row) => cases.indexOf(of(row))));
  return {
    records: Uint32Array.from(rows, (row) => row.record),
    timezone: "UTC",
    timezoneBasis: "declared",
    transactionId: field("id"),
    idBasis: null,
    kind: bytes(rows.map(() => SALE)),
    validationStatus: ordinals(VALIDATIONS, (row) => row.status.validation),
    paymentStatus: ordinals(PAYMENTS, (row) => row.status.payment),
    isLocked: null,
    statusRaw: field("state"),
    paymentStatusRaw: null,
    reasonRaw: null,
    parentTransactionId: null,
    groupKey: null,
    orderId: null,
    advertiserId: field("shop.id"),
    advertiserName: field("shop.name"),
    siteId: null,
    siteName: null,
    transactedAt: times(rows.map((row) => row.soldAt)),
    clickedAt: null,
    recordedAt: null,
    modifiedAt: null,
    validatedAt: null,
    reversedAt: null,
    locksAt: null,
    payableAt: null,
    paidAt: null,
    saleAmount: money(rows.map((row) => row.amount)),
    saleCurrency: field("currency"),
    commissionAmount: money(rows.map((row) => row.commission)),
    commissionCurrency: field("currency"),
    originalSaleAmount: null,
    originalCommissionAmount: null,
    amountsReported: null,
    subIds: pairs(rows.map(({ fields }) => ({ ref: fields.ref }))),
    clickId: null,
    voucherCode: null,
    device: null,
    customerCountry: null,
    commissionGroup: null,
    paymentId: null,
  };
}
