import { useState } from "preact/hooks";
import { call } from "../lib/api";
import { useAction, useLoad } from "../lib/load";
import { path } from "../lib/route";
import { ActionButton, Age, Badge, Empty, Foreign, Loaded, Outcome, Panel, Time } from "../ui";

interface Alarm {
  alarm_id: string;
  rule: string;
  subject: string;
  network: string | null;
  severity: "info" | "warning" | "critical";
  state: "open" | "acknowledged" | "resolved";
  summary: string;
  evidence: string;
  advice: string;
  opened_at: string;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  snoozed_until: string | null;
}

const SNOOZES = [
  ["", "until it is resolved"],
  ["4h", "for 4 hours"],
  ["1d", "for a day"],
  ["7d", "for a week"],
] as const;

const SEVERITIES = { info: "plain", warning: "warn", critical: "bad" };

function One({ alarm, again }: { alarm: Alarm; again: () => void }) {
  const [snooze, setSnooze] = useState("");
  const action = useAction();
  const acknowledge = async () => {
    await call("POST", path("v1", "alarms", alarm.alarm_id, "acknowledge"), snooze ? { snooze } : {});
    again();
    return "Acknowledged.";
  };
  return (
    <li class={SEVERITIES[alarm.severity]}>
      <header>
        <Badge text={alarm.severity} tone={SEVERITIES[alarm.severity]} /> <Badge text={alarm.state} /> <Badge text={alarm.rule} tone="plain" />{" "}
        <Foreign text={alarm.subject} /> <span class="dim">since <Age at={alarm.opened_at} /></span>
      </header>
      <p>
        <Foreign text={alarm.summary} />
      </p>
      {alarm.evidence && (
        <p class="dim">
          <Foreign text={alarm.evidence} />
        </p>
      )}
      <p>
        <Foreign text={alarm.advice} />
      </p>
      {alarm.state === "open" && (
        <div class="row">
          <label>
            Quiet{" "}
            <select value={snooze} onChange={(event) => setSnooze(event.currentTarget.value)}>
              {SNOOZES.map(([value, text]) => (
                <option value={value}>{text}</option>
              ))}
            </select>
          </label>
          <ActionButton role="operate" action={action} onClick={() => action.run(acknowledge)}>
            Acknowledge
          </ActionButton>
        </div>
      )}
      {alarm.state === "acknowledged" && (
        <p class="dim">
          Acknowledged by <Foreign text={alarm.acknowledged_by} /> <Time at={alarm.acknowledged_at} />
          {alarm.snoozed_until && (
            <>
              , opens again <Time at={alarm.snoozed_until} />
            </>
          )}
        </p>
      )}
      <Outcome action={action} />
    </li>
  );
}

export function Alarms() {
  const load = useLoad((signal) => call<Alarm[]>("GET", "/v1/alarms", undefined, signal), [], ["alarms", "runs", "doubts"]);
  // A server of an earlier release has none.
  if (load.failure?.status === 404) return null;
  return (
    <Panel wide title="Alarms">
      <Loaded load={load}>
        {(alarms) => {
          const shown = alarms.filter(({ state }) => state !== "resolved");
          if (shown.length === 0) return <Empty>No alarm is open.</Empty>;
          return (
            <ul class="alarms">
              {shown.map((alarm) => (
                <One key={alarm.alarm_id} alarm={alarm} again={load.again} />
              ))}
            </ul>
          );
        }}
      </Loaded>
    </Panel>
  );
}
