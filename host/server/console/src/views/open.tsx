import { useSql, type Load } from "../lib/load";
import { path } from "../lib/route";
import type { OpenAlarms } from "../lib/types";
import { Badge, Empty, Foreign, Loaded, Panel } from "../ui";
import { alarmUrl, SEVERITIES } from "./alarms";
import type { Doubtful } from "./coverage";

/** Alarms and doubts that are listed, of each. */
const LISTED = 5;

const DOUBTS = `SELECT doubt_id, network, account, stream, axis, since, until, reason FROM meta.doubts WHERE state = 'open'
  ORDER BY found_at DESC LIMIT ${LISTED + 1}`;

/** The newest of what is open: each leads to what can be done about it. */
export function Open({ alarms }: { alarms: Load<OpenAlarms> }) {
  const doubts = useSql<Doubtful>(DOUBTS, ["doubts", "runs"]);
  const list = (all: { tone: string; kind: string; href: string; text: string }[]) => (
    <ul class="list">
      {all.slice(0, LISTED).map(({ tone, kind, href, text }) => (
        <li>
          <Badge text={kind} tone={tone} />{" "}
          <a href={href}>
            <Foreign text={text} />
          </a>
        </li>
      ))}
      {all.length > LISTED && (
        <li>
          <a href="/doubts">All</a>
        </li>
      )}
    </ul>
  );
  return (
    <Panel title="Open alarms and doubts">
      <Loaded load={alarms}>
        {({ newest }) => {
          if (newest.length === 0) return <Empty>No alarm is open.</Empty>;
          return list(newest.map((alarm) => ({ tone: SEVERITIES[alarm.severity], kind: alarm.severity, href: alarmUrl(alarm), text: alarm.summary })));
        }}
      </Loaded>
      <Loaded load={doubts}>
        {({ rows }) => {
          if (rows.length === 0) return <Empty>No answer is held back.</Empty>;
          const text = ({ network, account, reason }: Doubtful) => `${network} / ${account}: ${reason}`;
          return list(rows.map((doubt) => ({ tone: "warn", kind: "doubt", href: path("doubts", doubt.doubt_id), text: text(doubt) })));
        }}
      </Loaded>
    </Panel>
  );
}
