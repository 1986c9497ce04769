import { sql } from "../lib/api";
import { toNumber, type Numeric } from "../lib/exact";
import { literal } from "../lib/format";
import { useLoad } from "../lib/load";
import type { Extent, Gap, Network, Stream } from "../lib/types";
import { isSameStream } from "../parts";
import { useNetworks } from "./runs";

/** Marks that are drawn. */
const MOST_MARKS = 2_000;
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
  const account = network ? "account, stream" : "'' AS account, '' AS stream";
  const vanished = `SELECT network, ${account}, transaction_day AS day, count(*) AS transactions FROM unified.transactions
    WHERE change = 'vanished' AND transaction_day > current_date() - INTERVAL '${days} days' ${inNetwork(network)}
    GROUP BY 1, 2, 3, 4 ORDER BY day DESC LIMIT ${MOST_MARKS}`;
  const inputs = [network];
  return {
    tracks: useLoad((signal) => sql<Track>(tracks, signal), inputs, [...TOPICS]),
    marks: useLoad((signal) => sql<GapMark>(marks, signal), inputs, [...TOPICS]),
    counts: useLoad((signal) => sql<Count>(counts, signal), inputs, [...TOPICS]),
    listed: useLoad((signal) => sql<Gap>(listed, signal), inputs, [...TOPICS]),
    doubts: useLoad((signal) => sql<Doubtful>(doubts, signal), inputs, [...TOPICS]),
    vanished: useLoad((signal) => sql<Vanished>(vanished, signal), [network, days], [...TOPICS]),
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
