// Money and times out of texts, exactly: money never goes through a float. Null is what can't be read.

/** What `decimal(18, 6)` holds, in millionths. */
const MAX_MICROS = 10n ** 18n - 1n;

/** Millionths of a decimal as JSON writes numbers: `-12.50`, `1e3`. Beyond the sixth place half goes to even. */
export function parseMoney(text) {
  const parts = /^([+-]?)(\d{1,18})(?:\.(\d{0,18}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text.trim());
  if (parts === null) return null;
  const [, sign, whole, fraction = "", exponent = "0"] = parts;
  const micros = scale(BigInt(whole + fraction), 6 + Number(exponent) - fraction.length);
  if (micros > MAX_MICROS) return null;
  return sign === "-" ? -micros : micros;
}

/** `value` × 10^`power`. */
function scale(value, power) {
  if (power >= 0) return value * 10n ** BigInt(power);
  const divisor = 10n ** BigInt(-power);
  const [quotient, rest] = [value / divisor, (value % divisor) * 2n];
  const up = rest > divisor || (rest === divisor && quotient % 2n === 1n);
  return up ? quotient + 1n : quotient;
}

/** Ordinals of the contract's `time-basis`. */
const [INSTANT, LOCAL, DATE] = [0, 1, 2];

const ISO =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(?:(Z)|([+-])(\d\d):?(\d\d))?)?$/;

/** `{ micros, basis }` of an ISO 8601 time: with `Z` or an offset an instant, else a wall-clock reading or a day. */
export function parseTime(text) {
  const parts = ISO.exec(text.trim());
  if (parts === null) return null;
  const [, year, month, day, hour, minute, second = "0", fraction = "", z, sign, offHour, offMinute] = parts;
  const date = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  // The calendar turns February 30 into March 2; the contract's times lie between 1900 and 2200.
  const isDay = date.getUTCDate() === Number(day) && date.getUTCMonth() === Number(month) - 1;
  if (!isDay || Number(year) < 1901 || Number(year) > 2199) return null;
  const micros = BigInt(date.getTime()) * 1000n;
  if (hour === undefined) return { micros, basis: DATE };
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return null;
  const seconds = (Number(hour) * 60 + Number(minute)) * 60 + Number(second);
  const local = micros + BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, "0").slice(0, 6));
  if (z !== undefined) return { micros: local, basis: INSTANT };
  if (sign === undefined) return { micros: local, basis: LOCAL };
  const offset = BigInt((Number(offHour) * 60 + Number(offMinute)) * 60) * 1_000_000n;
  return { micros: sign === "-" ? local + offset : local - offset, basis: INSTANT };
}

/** `2026-03-01T00:00:00Z` of microseconds since 1970. */
export function formatTime(micros) {
  return `${new Date(Number(micros) / 1000).toISOString().slice(0, 19)}Z`;
}
