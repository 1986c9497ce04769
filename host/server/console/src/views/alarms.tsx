import { useState } from "preact/hooks";
import { get, post } from "../lib/api";
import { useAction, useLoad } from "../lib/load";
import { path } from "../lib/route";
import type { Alarm } from "../lib/types";
import { Select } from "../parts";
import { ActionButton, Age, Badge, Empty, Foreign, Loaded, Outcome, Panel, Time } from "../ui";

const SNOOZES = [
  ["", "until it is resolved"],
  ["4h", "for 4 hours"],
  ["1d", "for a day"],
  ["7d", "for a week"],
] as const;

export const SEVERITIES = { info: "plain", warning: "warn", critical: "bad" };

export const alarmUrl = ({ alarm_id }: Alarm) => path("doubts", "alarm", alarm_id);

function Acknowledge({ alarm, again }: { alarm: Alarm; again: () => void }) {
  const [snooze, setSnooze] = useState("");
  const action = useAction();
  const acknowledge = async () => {
    await post("/v1/alarms/{id}/acknowledge", { params: { path: { id: alarm.alarm_id } }, body: snooze ? { snooze } : {} });
    again();
    return "Acknowledged.";
  };
  return (
    <>
      <div class="row">
        <Select label="Quiet" options={SNOOZES} value={snooze} choose={setSnooze} />
        <ActionButton role="operate" action={action} onClick={() => action.run(acknowledge)}>
          Acknowledge
        </ActionButton>
      </div>
      <Outcome action={action} />
    </>
  );
}

function One({ alarm, again }: { alarm: Alarm; again: () => void }) {
  return (
    <li class={SEVERITIES[alarm.severity]}>
      <header>
        <Badge text={alarm.severity} tone={SEVERITIES[alarm.severity]} /> <Badge text={alarm.state} /> <Badge text={alarm.rule} tone="plain" />{" "}
        <a href={alarmUrl(alarm)}>
          <Foreign text={alarm.subject} />
        </a>{" "}
        <span class="dim">
          since <Age at={alarm.opened_at} />
        </span>
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
      {alarm.resolved_at && (
        <p class="dim">
          Resolved <Time at={alarm.resolved_at} />
        </p>
      )}
      {alarm.state === "open" && <Acknowledge alarm={alarm} again={again} />}
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
    </li>
  );
}

/** The alarms, or one of them, which may be resolved. */
export function Alarms({ id }: { id?: string }) {
  const all = !!id;
  const load = useLoad((signal) => get("/v1/alarms", { params: { query: { all } }, signal }), [all], ["alarms", "runs", "doubts"]);
  return (
    <Panel wide title={id ? "Alarm" : "Alarms"}>
      <Loaded load={load}>
        {(alarms) => {
          const shown = alarms.filter(({ state, alarm_id }) => (id ? alarm_id === id : state !== "resolved"));
          if (shown.length === 0) return <Empty>{id ? `There is no alarm ${id}.` : "No alarm is open."}</Empty>;
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
