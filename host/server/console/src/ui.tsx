import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { Warning } from "./lib/types";
import type { Numeric } from "./lib/exact";
import { age, amount, currencyName, isUtc, localText, utcText } from "./lib/format";
import type { Action, Load } from "./lib/load";
import { may, session, type Role } from "./lib/live";
import { path } from "./lib/route";

type Children = { children?: ComponentChildren };

/** A part of a view with a heading. */
export function Panel({ title, aside, children, wide }: Children & { title: string; aside?: ComponentChildren; wide?: boolean }) {
  return (
    <section class={wide ? "panel wide" : "panel"}>
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}

/** A moment in the viewer's zone, UTC beside it. */
export function Time({ at, seconds }: { at: string | null | undefined; seconds?: boolean }) {
  if (!at) return <span class="dim">never</span>;
  const date = new Date(at);
  return (
    <time dateTime={at}>
      {localText(date, seconds)} <span class="utc">{isUtc(date) ? "UTC" : utcText(date, seconds)}</span>
    </time>
  );
}

/** How long ago, and when that was. */
export function Age({ at }: { at: string | null | undefined }) {
  return (
    <>
      {at && `${age(at)}, `}
      <Time at={at} />
    </>
  );
}

/** A day where that is enough. */
const begun = (moment: string) => (moment.endsWith(" 00:00") ? moment.slice(0, 10) : moment);

/** A window: since ≤ t < until, in the viewer's zone, UTC beside it. */
export function Window({ since, until }: { since: string | null; until: string | null }) {
  if (!since || !until) return <span class="dim">no window</span>;
  const ends = [new Date(since), new Date(until)];
  const text = (of: (date: Date) => string) => ends.map((date) => begun(of(date))).join(" – ");
  const utc = text((date) => date.toISOString().slice(0, 16).replace("T", " "));
  const isOne = ends.every(isUtc);
  return (
    <>
      {!isOne && <span class="nowrap">{text(localText)}</span>} <span class={isOne ? "nowrap" : "nowrap utc"}>{utc} UTC</span>
    </>
  );
}

/** An amount with its currency. */
export function Money({ value, currency }: { value: Numeric | string; currency: string | null | undefined }) {
  if (value == null) return <span class="dim">–</span>;
  const isNegative = value.toString().startsWith("-");
  return (
    <span class={isNegative ? "money negative" : "money"} title={`${value} ${currency ?? ""}`}>
      {amount(value, currency)} <span class="currency">{currencyName(currency)}</span>
    </span>
  );
}

const TONES: Record<string, string> = {
  done: "good", fresh: "good", approved: "good", paid: "good", serving: "good", accepted: "good", read: "good", answered: "good",
  resolved: "good", doubtful: "warn", partial: "warn", pending: "plain", waiting: "warn", shadow: "warn", open: "warn",
  stale: "warn", payable: "warn", held: "warn", paused: "warn", acknowledged: "plain", vanished: "bad", declined: "bad",
  failed: "bad", refused: "bad", rejected: "bad", "clawed-back": "bad",
};

export function Badge({ text, tone }: { text: string; tone?: string }) {
  return <span class={`badge ${tone ?? TONES[text] ?? "plain"}`}>{text.replaceAll("-", " ")}</span>;
}

/** A text of a network or connector, which may be of another direction than those around it. */
export function Foreign({ text, class: name }: { text: string | null | undefined; class?: string }) {
  return <bdi class={name}>{text}</bdi>;
}

export function Empty({ children }: Children) {
  return <p class="empty">{children}</p>;
}

/** What went wrong, and what to do about it. A right that is missing is no fault. */
export function Failed({ failure, again }: { failure: NonNullable<Load<unknown>["failure"]>; again?: () => void }) {
  const { error, causes, hint } = failure.body;
  const isForbidden = failure.status === 403;
  return (
    <div class={isForbidden ? "note warn" : "note bad"} role="alert">
      <p>
        <strong>{isForbidden ? "Not allowed: " : ""}</strong>
        {error}
      </p>
      {causes?.map((cause) => <p class="dim">{cause}</p>)}
      {hint && <p>{hint}</p>}
      {again && !isForbidden && (
        <button type="button" onClick={again}>
          Try again
        </button>
      )}
    </div>
  );
}

/** Loading, failed or there. What was there stays while it is asked for again. */
export function Loaded<T>({ load, rows = 3, children }: { load: Load<T>; rows?: number; children: (value: T) => ComponentChildren }) {
  return (
    <div aria-busy={load.isLoading}>
      {load.failure && <Failed failure={load.failure} again={load.again} />}
      {load.value !== undefined && children(load.value)}
      {load.value === undefined && load.isLoading && (
        <div class="skeleton" role="status">
          <span class="unseen">Loading</span>
          {Array.from({ length: rows }, () => (
            <i />
          ))}
        </div>
      )}
    </div>
  );
}

/** What a result may lack. */
export function Warnings({ warnings }: { warnings: Warning[] }) {
  if (warnings.length === 0) return null;
  return (
    <details class="note warn">
      <summary>Something may be missing</summary>
      <ul>
        {warnings.map(({ warning, doubt_id, network }) => (
          <li>
            {warning} {doubt_id && <a href={path("doubts", doubt_id)}>See the doubt</a>}
            {!doubt_id && network && <a href={path("completeness", network)}>See the gaps</a>}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** How an action went. */
export function Outcome({ action }: { action: Action }) {
  return (
    <div aria-live="polite">
      {action.done && <p class="note good">{action.done}</p>}
      {action.failure && <Failed failure={action.failure} />}
    </div>
  );
}

/** A button of something that needs a role; without it, it says so. */
export function ActionButton(props: Children & { role: Role; action: Action; onClick: () => void; kind?: string; disabled?: boolean }) {
  const isAllowed = may(props.role);
  const title = isAllowed ? undefined : `Token “${session.value?.token}” may ${session.value?.role}; this needs ${props.role}`;
  return (
    <button
      type="button"
      class={props.kind ?? ""}
      title={title}
      disabled={!isAllowed || props.action.isBusy || props.disabled}
      onClick={props.onClick}
    >
      {props.children}
    </button>
  );
}

/** A dialog over the page; Escape closes it. */
export function Dialog({ title, close, children }: Children & { title: string; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
    return () => dialog.current?.close();
  }, []);
  return (
    <dialog ref={dialog} onClose={close} aria-label={title} onClick={(event) => event.target === dialog.current && close()}>
      <div class="dialog">
        <header>
          <h2>{title}</h2>
          <button type="button" class="quiet" onClick={close} aria-label="Close">
            ✕
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** A choice of a few, as buttons of which one is pressed. */
export function Choice<T extends string>(props: { label: string; options: readonly (readonly [T, string])[]; value: T; choose: (value: T) => void }) {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button type="button" aria-pressed={value === props.value} onClick={() => props.choose(value)}>
          {text}
        </button>
      ))}
    </div>
  );
}

/** A table that scrolls by itself on a narrow screen. */
export function Table({ label, head, children }: Children & { label: string; head: (string | [string, "number"])[] }) {
  return (
    <div class="scroll" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head.map((cell) => (
              <th scope="col" class={typeof cell === "string" ? "" : "number"}>
                {typeof cell === "string" ? cell : cell[0]}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
