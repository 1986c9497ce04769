import { toNumber } from "../lib/exact";
import { counted } from "../lib/format";
import { navigate, path } from "../lib/route";
import { Foreign, Time } from "../ui";
import { isSameStream } from "../parts";
import { gapCounts, isDoubted, MOST_MARKS, type Coverage, type GapMark, type Track } from "./coverage";

export const DAY = 86_400_000;

/** The days that are shown. */
export interface Span {
  first: number;
  days: number;
}

function place({ first, days }: Span, since: string, until: string) {
  const day = (at: string) => (Date.parse(at) - first) / DAY;
  const left = Math.max(0, Math.floor(day(since)));
  const right = Math.min(days, Math.ceil(day(until)));
  return right <= left ? null : { left: `${(100 * left) / days}%`, width: `${(100 * (right - left)) / days}%` };
}

/** Where months or weeks begin. A name that the end of the map might cut isn't written: `2026-1` would be another month. */
export function Ticks({ span }: { span: Span }) {
  const ticks = Array.from({ length: span.days }, (_, at) => new Date(span.first + at * DAY)).filter((day) =>
    span.days > 40 ? day.getUTCDate() === 1 : day.getUTCDay() === 1,
  );
  const left = (day: Date) => (100 * (day.getTime() - span.first)) / DAY / span.days;
  const text = (day: Date) => day.toISOString().slice(span.days > 40 ? 0 : 5, span.days > 40 ? 7 : 10);
  return (
    <div class="heat ticks" aria-hidden="true">
      <span />
      <div class="track bare">
        {ticks.map((day) => (
          <span style={{ left: `${left(day)}%` }}>{left(day) < 85 && text(day)}</span>
        ))}
      </div>
    </div>
  );
}

interface Mark {
  since: string;
  until: string;
  kind: GapMark["kind"] | "doubtful" | "vanished" | "unknown";
  text: string;
  open?: () => void;
}

/** A row of the heat map: what was read, and over it what is wrong. */
function Days({ span, read, marks }: { span: Span; read: Track; marks: Mark[] }) {
  const extent = read.since && read.until && place(span, read.since, read.until);
  return (
    <div class={span.days > 120 ? "track fine" : "track"} style={{ "--days": span.days }}>
      {extent && <i class="segment read" style={extent} />}
      {marks.map(({ since, until, kind, text, open }) => {
        const at = place(span, since, until);
        if (!at) return null;
        if (!open) return <i class={`segment ${kind}`} style={at} title={text} />;
        return <button type="button" class={`segment ${kind}`} style={at} title={text} aria-label={text} onClick={open} />;
      })}
    </div>
  );
}

const LEGEND = [
  ["read", "read"],
  ["never-read", "never read"],
  ["failed", "failed"],
  ["doubtful", "doubtful, held back"],
  ["vanished", "rows that vanished"],
  ["unknown", "more than is drawn"],
] as const;

export function Legend() {
  return (
    <ul class="legend">
      {LEGEND.map(([kind, text]) => (
        <li>
          <i class={`segment ${kind}`} />
          {text}
        </li>
      ))}
    </ul>
  );
}

function gapText({ kind, since, until, error, gaps }: GapMark): string {
  const many = toNumber(gaps) > 1 ? `, ${counted(toNumber(gaps), "gap")}` : "";
  return `${kind === "failed" ? "Failed" : "Never read"}: ${since.slice(0, 10)} to ${until.slice(0, 10)} UTC${many}${error ? `, ${error}` : ""}`;
}

const nextDay = (day: string) => new Date(Date.parse(day) + DAY).toISOString();

/** What is wrong in a row. What isn't drawn is marked as not known, so that it doesn't look read. */
export function marksOf(coverage: Coverage, row: Track, openGap: (gap: GapMark) => void, first: number): Mark[] {
  const name = row.account || row.network;
  const isOf = (one: { network: string; account: string; stream: string }) =>
    one.network === row.network && (!row.account || (one.account === row.account && one.stream === row.stream));
  const { undrawn, oldestDrawn } = gapCounts(coverage);
  const hidden = undrawn(row);
  const gaps = coverage.marks.value?.rows.filter((gap) => isSameStream(gap, row) && !isDoubted(coverage, gap)) ?? [];
  const doubts = coverage.doubts.value?.rows.filter((doubt) => isOf(doubt) && (!row.account || doubt.axis === row.axis)) ?? [];
  const all = coverage.vanished.value?.rows ?? [];
  const oldest = all[MOST_MARKS - 1]?.day;
  const vanished = all.filter(isOf);
  const unknown = { since: new Date(first).toISOString(), until: oldestDrawn ?? "", kind: "unknown" as const };
  return [
    ...(hidden > 0 ? [{ ...unknown, text: `${name}: ${counted(hidden, "older gap")} not drawn` }] : []),
    ...(oldest ? [{ ...unknown, until: oldest, text: `${name}: what vanished before ${oldest} is not drawn` }] : []),
    ...gaps.map((gap) => ({ ...gap, text: `${name}: ${gapText(gap)}`, open: () => openGap(gap) })),
    ...doubts.map((doubt) => ({
      ...doubt,
      kind: "doubtful" as const,
      text: `${doubt.account}: Doubtful: ${doubt.reason}`,
      open: () => navigate(path("doubts", doubt.doubt_id)),
    })),
    ...vanished.map(({ day, transactions }) => ({
      since: day,
      until: nextDay(day),
      kind: "vanished" as const,
      text: `${name}: ${day}: ${counted(toNumber(transactions), "transaction")} vanished`,
    })),
  ];
}

/** A row with its name. */
export function HeatRow({ row, span, marks, open }: { row: Track; span: Span; marks: Mark[]; open: (row: Track) => void }) {
  return (
    <div class="heat">
      <div class="label">
        {row.account ? (
          <>
            <Foreign text={row.account} /> {row.stream && <span class="dim">{row.stream} by {row.axis}, </span>}
          </>
        ) : (
          <a href={path("completeness", row.network)}>
            <Foreign text={row.network} />
          </a>
        )}{" "}
        <span class="dim">
          {row.read_at ? (
            <>
              read <Time at={row.read_at} />
            </>
          ) : (
            "never read to the end"
          )}
        </span>{" "}
        {row.account && !row.read_at && (
          <button type="button" class="link" aria-label={`Why? ${row.account}: never read`} onClick={() => open(row)}>
            Why?
          </button>
        )}
      </div>
      <Days span={span} read={row} marks={marks} />
    </div>
  );
}
