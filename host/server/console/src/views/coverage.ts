import { toNumber, type Numeric } from "../lib/exact";
import { counted, literal } from "../lib/format";
import { useSql } from "../lib/load";
import type { Extent, Gap, Network, Stream } from "../lib/types";
import { isSameStream } from "../parts";
import { useNetworks } from "./runs";

/** Marks that are drawn. */
export const MOST_MARKS = 2_000;
/** Gaps that are listed. */
export const LISTED_GAPS = 200;

/** A row of the heat map: what was read, from here to there, but for gaps; without a window nothing was. */
export interface Track extends Stream {
  since: string | null;
  until: string | null;
  read_at: string | null;
}

/** Gaps of one window. */
export interface GapMark extends Gap {
  gaps: Numeric;
}

interface Count extends Stream {
  gaps: Numeric;
}

export interface Doubtful extends Extent {
  doubt_id: string;
  reason: string;
}

/** A stream whose last read failed. */
export interface Failing extends Gap {
  read_at: string | null;
}

/** Transactions that vanished, of one day. */
export interface Vanished {
  network: string;
  account: string;
  stream: string;
  day: string;
  transactions: Numeric;
}

const inNetwork = (network?: string) => (network ? `AND network = ${literal(network)}` : "");
const TOPICS = ["runs", "doubts"] as const;

/** By network if none is named, else by account, stream and axis: the number of rows doesn't grow with the days. */
export function useCoverage(network: string | undefined, days: string) {
  const of = network ? "network, account, stream, axis" : "network, '' AS account, '' AS stream, '' AS axis";
  // A stream has a row of its own from its first attempt on, whether or not anything of it was read.
  const tracks = `SELECT ${of}, min(since) FILTER (WHERE kind = 'read') AS since, max(until) FILTER (WHERE kind = 'read') AS until,
      min(read_at) FILTER (WHERE kind = 'stream') AS read_at
    FROM meta.coverage_state WHERE true ${inNetwork(network)} GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`;
  const where = `WHERE since IS NOT NULL ${inNetwork(network)}`;
  const marks = `SELECT ${of}, since, until, kind, max(failed_at) AS failed_at, max(error) AS error, count(*) AS gaps
    FROM meta.gaps ${where} GROUP BY 1, 2, 3, 4, since, until, kind ORDER BY since DESC LIMIT ${MOST_MARKS}`;
  const counts = `SELECT ${of}, count(*) AS gaps FROM meta.gaps ${where} GROUP BY 1, 2, 3, 4`;
  const listed = `SELECT network, account, stream, axis, since, until, kind, failed_at, error FROM meta.gaps ${where}
    ORDER BY since DESC, network, account LIMIT ${LISTED_GAPS}`;
  const doubts = `SELECT doubt_id, network, account, stream, axis, since, until, reason FROM meta.doubts
    WHERE state = 'open' ${inNetwork(network)} ORDER BY since DESC LIMIT ${MOST_MARKS}`;
  // The error stands with the window that failed then.
  const failing = `SELECT s.network, s.account, s.stream, s.axis, s.failed_at, s.read_at, max(f.error) AS error,
      max(f.since) AS since, max(f.until) AS until, 'failed' AS kind
    FROM meta.coverage_state s LEFT JOIN meta.coverage_state f ON f.network = s.network AND f.account = s.account
      AND f.stream = s.stream AND f.axis = s.axis AND f.failed_at = s.failed_at AND f.kind <> 'stream'
    WHERE s.kind = 'stream' AND (s.failed_at > s.read_at OR s.read_at IS NULL) ${network ? `AND s.network = ${literal(network)}` : ""}
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 5 DESC LIMIT ${LISTED_GAPS}`;
  const account = network ? "account, stream" : "'' AS account, '' AS stream";
  const vanished = `SELECT network, ${account}, transaction_day AS day, count(*) AS transactions FROM unified.transactions
    WHERE change = 'vanished' AND transaction_day > current_date() - INTERVAL '${days} days' ${inNetwork(network)}
    GROUP BY 1, 2, 3, 4 ORDER BY day DESC LIMIT ${MOST_MARKS}`;
  return {
    tracks: useSql<Track>(tracks, TOPICS),
    marks: useSql<GapMark>(marks, TOPICS),
    counts: useSql<Count>(counts, TOPICS),
    listed: useSql<Gap>(listed, TOPICS),
    doubts: useSql<Doubtful>(doubts, TOPICS),
    failing: useSql<Failing>(failing, TOPICS),
    vanished: useSql<Vanished>(vanished, TOPICS),
    networks: useNetworks(),
  };
}

export type Coverage = ReturnType<typeof useCoverage>;

/** The rows that are shown: what was attempted, and what the settings name and nothing was attempted of. */
export function tracksOf({ tracks, networks }: Coverage, network: string | undefined): Track[] {
  const known = tracks.value?.rows ?? [];
  const missing = (networks.value ?? []).flatMap((one) => unattempted(one, known, network));
  return [...known, ...missing];
}

function unattempted(configured: Network, known: Track[], network: string | undefined): Track[] {
  const { connector } = configured;
  const none = { network: connector, stream: "", axis: "", since: null, until: null, read_at: null };
  if (!network) return known.some((row) => row.network === connector) ? [] : [{ ...none, account: "" }];
  if (network !== connector) return [];
  const isKnown = (id: string) => known.some(({ account }) => account === id);
  return configured.accounts.filter(({ id }) => !isKnown(id)).map(({ id }) => ({ ...none, account: id }));
}

/** How many gaps there are, and how many of a row aren't drawn. */
export function gapCounts({ counts, marks }: Coverage) {
  const all = counts.value?.rows ?? [];
  const drawn = marks.value?.rows ?? [];
  const sum = (rows: { gaps: Numeric }[]) => rows.reduce((total, { gaps }) => total + toNumber(gaps), 0);
  const undrawn = (row: Stream) => sum(all.filter((one) => isSameStream(one, row))) - sum(drawn.filter((one) => isSameStream(one, row)));
  return { total: sum(all), undrawn, oldestDrawn: drawn[drawn.length - 1]?.since };
}

/** Those of some doubts that hold all of a window back together; none if a part of it failed otherwise. Failures that touch are one. */
function covering(doubts: Doubtful[], { since, until }: Gap): Doubtful[] {
  const time = Date.parse;
  const within = doubts.filter((doubt) => time(doubt.since) < time(until) && time(doubt.until) > time(since));
  const end = within
    .sort((a, b) => time(a.since) - time(b.since))
    .reduce((end, doubt) => (time(doubt.since) <= end ? Math.max(end, time(doubt.until)) : end), time(since));
  return end >= time(until) ? within : [];
}

/** The doubt that holds a window back, the first of several, which is why it counts as one that failed. */
export function doubtOf({ doubts }: Coverage, gap: Gap): Doubtful | undefined {
  if (gap.kind !== "failed") return undefined;
  return covering(doubts.value?.rows.filter((doubt) => isSameStream(doubt, gap)) ?? [], gap)[0];
}

/** Whether all failed reads that a mark stands for are doubts: these have marks of their own. */
export function isDoubted(coverage: Coverage, gap: GapMark): boolean {
  if (gap.account || gap.kind !== "failed") return !!doubtOf(coverage, gap);
  const own = coverage.doubts.value?.rows.filter(({ network }) => network === gap.network) ?? [];
  const streams = new Map(own.map((one) => [`${one.account} ${one.stream} ${one.axis}`, one]));
  const doubted = [...streams.values()].filter((one) => doubtOf(coverage, { ...gap, account: one.account, stream: one.stream, axis: one.axis }));
  return doubted.length >= toNumber(gap.gaps);
}

/** The settings of an account, as tables name it. */
export const networkOf = (networks: Network[] | undefined, { network, account }: { network: string; account: string }) =>
  networks?.find(({ connector, accounts }) => connector === network && accounts.some(({ id }) => id === account));

/** Why no run has read something: what the settings and the schedule know of it. */
export function whyUnread(network: Network | undefined, { account, stream, axis, since }: Stream & { since: string | null }): string[] {
  if (!network) return ["No file in networks/ names this account now, so nothing reads it."];
  const pause = network.paused.find((pause) => pause.account === null || pause.account === account);
  const rules = network.look_back.filter((rule) => !axis || !rule.axis || rule.axis === axis);
  const days = Math.max(0, ...rules.map(({ days }) => days));
  const isPast = since && Date.parse(since) < Date.now() - days * 86_400_000;
  return [
    since
      ? "No run has read it, though runs read what lies before and after."
      : stream
        ? "No run has read anything of it to the end."
        : "No run has asked for anything of it yet: it is new here.",
    ...(pause ? [`It is paused, so the schedule leaves it alone${pause.reason && `: ${pause.reason}`}.`] : []),
    ...(rules.length === 0
      ? ["The schedule reads nothing by this date: it is never due."]
      : isPast
        ? [`The schedule reads the last ${counted(days, "day")} again, and this is older: only you or \`sluice backfill\` read it.`]
        : pause
          ? []
          : ["The schedule reads it at its next run."]),
  ];
}
