import { signal } from "@preact/signals";
import type { Numeric } from "./exact";

const two = (number: number) => String(number).padStart(2, "0");

/** `2026-11-29 16:05`, of the viewer's zone. */
export function localText(date: Date, seconds = false): string {
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}${seconds ? `:${two(date.getSeconds())}` : ""}`;
}

/** `2026-11-29 15:05 UTC`, without the day where it is that of the viewer's zone. */
export function utcText(date: Date, seconds = false): string {
  const iso = date.toISOString();
  const time = iso.slice(11, seconds ? 19 : 16);
  return localText(date).slice(0, 10) === iso.slice(0, 10) ? `${time} UTC` : `${iso.slice(0, 10)} ${time} UTC`;
}

/** Whether the viewer's clock shows UTC, so that one text is enough. */
export const isUtc = (date: Date) => date.getTimezoneOffset() === 0;

/** The viewer's zone by name. */
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

/** The time, a new one each half a minute, so that ages stay true. */
export const now = signal(Date.now());
setInterval(() => (now.value = Date.now()), 30_000);

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** `3 hours ago`, `in 5 minutes`. */
export function age(at: string): string {
  const seconds = (new Date(at).getTime() - now.value) / 1_000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? ["second", 1];
  return unit === "second" ? "just now" : relative.format(Math.trunc(seconds / size), unit);
}

/** `1.5 s`, `3 min`. */
export function duration(from: string, to: string): string {
  const seconds = (new Date(to).getTime() - new Date(from).getTime()) / 1_000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return seconds < 3_600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3_600).toFixed(1)} h`;
}

const whole = new Intl.NumberFormat("en");

export function count(number: Numeric): string {
  return number == null ? "–" : whole.format(number.toString() as unknown as number);
}

/** `1 gap`, `3 gaps`. */
export function counted(number: number, noun: string): string {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

export function bytes(number: Numeric): string {
  let size = Number(number?.toString() ?? 0);
  for (const unit of ["bytes", "kB", "MB"]) {
    if (size < 1_000) return `${unit === "bytes" ? size : size.toFixed(1)} ${unit}`;
    size /= 1_000;
  }
  return `${size.toFixed(1)} GB`;
}

const digits = new Map<string, Intl.NumberFormat>();

/** Decimal places of a currency; two where there is none. */
function numberFormat(currency: string): Intl.NumberFormat {
  const known = digits.get(currency);
  if (known) return known;
  let places = 2;
  try {
    places = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    // What is no currency's code has the places of most.
  }
  const made = new Intl.NumberFormat("en", { minimumFractionDigits: places, maximumFractionDigits: places });
  digits.set(currency, made);
  return made;
}

/** `1,234.50`, in the places of its currency. The digits are given as text, so that none is lost before the rounding. */
export function amount(value: Numeric | string, currency: string | null | undefined): string {
  return value == null ? "–" : numberFormat(currency ?? "").format(value.toString() as unknown as number);
}

/** What a currency is called, also where there is none. */
export const currencyName = (currency: string | null | undefined) => currency || "no currency";

const compactFormat = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** For axes: `1.2K`. */
export const compact = (value: number) => compactFormat.format(value);

/** Characters that would change how others are shown, or show nothing: each as its code point. Lines and tabs stay. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}\u034f\u115f\u1160\u3164\uffa0](?<![\t\n\r])/gu;

/** A text of a network or connector, with nothing in it that isn't seen. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 32 ? String.fromCharCode(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** The beginning of an id or digest. */
export const short = (id: string) => id.slice(0, 12);

/** A text within SQL. */
export const literal = (text: string) => `'${text.replaceAll("'", "''")}'`;
